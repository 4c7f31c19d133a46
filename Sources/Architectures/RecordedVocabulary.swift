package import Diagnostics

/// The number of rows of the vocabulary before padding, where it is recorded.
package struct RecordedVocabulary {
  package let rows: Int
  package let reason: String

  /// - Returns: `nil` where nothing in the checkpoint says it.
  /// - Throws: `Failure` 78 for a value of the wrong type.
  package init?(_ facts: any ModelFacts) throws(Failure) {
    let arguments = facts.arguments
    func found(_ rows: Int?, _ reason: String) -> (Int, String)? {
      rows.flatMap { (1...ModelBounds.size).contains($0) ? ($0, reason) : nil }
    }
    var candidates = [
      found(try arguments.int(.originalVocabSize), "original_vocab_size"),
      found(facts.originalVocabularySize, "original_vocab_size"),
      found(try arguments.int(.origVocabSize), "orig_vocab_size"),
    ]
    // What the user types for this tokenizer does not count the token that it adds (Megatron
    // `tokenizer.py`, `_NullTokenizer`).
    if arguments[.tokenizerType] == .string("NullTokenizer"),
      let typed = try arguments.int(.vocabSize), typed < ModelBounds.size
    {
      candidates.append(
        found(typed + 1, "NullTokenizer with a vocab_size of \(typed) and its end of text"))
    }
    guard let (rows, reason) = candidates.compactMap({ $0 }).first else { return nil }
    self.rows = rows
    self.reason = reason
  }
}
