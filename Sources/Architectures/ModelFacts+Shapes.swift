import Diagnostics

extension ModelFacts {
  /// The shape of a matrix that a model cannot do without, as the first rank has it.
  ///
  /// - Throws: `Failure` 65 for one that is missing, empty or no matrix.
  func matrix(_ name: String) throws(Failure) -> [Int] {
    guard let sizes = shape(of: name) else { throw missing(name) }
    if sizes.contains(0) {
      throw Failure(
        .checkpointPlaceholder,
        "its shape is \(sizes): a placeholder, as ZeRO-3 leaves it where the weights are in the "
          + "shards of the optimizer", file: file(of: name), tensor: name,
        hint: "copy the zero_pp_rank_X_mp_rank_YY files, too, and give the folder")
    }
    guard sizes.count == 2, sizes.allSatisfy({ (1...ModelBounds.size).contains($0) }) else {
      throw Failure(
        .tensorUnexpectedShape,
        "its shape is \(sizes); 2 dimensions that are not empty were expected",
        file: file(of: name), tensor: name)
    }
    return sizes
  }

  /// Makes sure that no product of sizes overflows later on.
  ///
  /// - Throws: `Failure` 65 for sizes that no model has.
  func requirePlausible(_ sizes: ModelSizes) throws(Failure) {
    let (h, f) = (Double(sizes.hidden), Double(sizes.feedForward))
    let parameters =
      Double(sizes.vocabulary) * h * 2 + Double(sizes.layers) * (4 * h * h + 3 * h * f)
    guard parameters < Double(ModelBounds.elements),
      Double(sizes.heads) * Double(sizes.headSize) < Double(ModelBounds.size)
    else {
      throw Failure(.tensorUnexpectedShape, "no model has so many parameters", file: folderName)
    }
  }
}
