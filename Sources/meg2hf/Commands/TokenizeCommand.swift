import ArgumentParser
import ByteIO
import Conversion
import Diagnostics
import HuggingFace
import JSON
import SystemPackage

/// `meg2hf tokenize DIR [TEXT]`
struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Turn text into token ids, or ids into text.",
    usage: "meg2hf tokenize [<options>] <tokenizer> [<text>]",
    discussion: """
      DIR holds the tokenizer: tokenizer.json, or vocab.json and merges.txt; no model is needed. \
      Ids are those of the tokenizers library. With --json-lines each line of the input is a JSON \
      string and gives a JSON array of ids, and the other way round with --decode.

      EXAMPLES:
        meg2hf tokenize hf/gpt2 "Hello, my dog is cute"
        meg2hf tokenize hf/gpt2 --decode "15496 11 616"
        meg2hf tokenize hf/gpt2 --file prompts.jsonl --json-lines
      """)

  @Argument(help: "The folder of the tokenizer.", completion: .directory)
  var tokenizer: String

  @Argument(help: "The text; with --decode, the ids.")
  var text: String?

  @Option(
    name: .long,
    help: ArgumentHelp("A file with the text; - for standard input.", valueName: "file"),
    completion: .file())
  var file: String?

  @Flag(name: .long, help: "Turn ids, separated by spaces or commas, into text.")
  var decode = false

  @Flag(name: .long, help: "Show special tokens, such as the end of a text, in decoded text.")
  var keepSpecial = false

  @Flag(name: .long, help: "Read a JSON value a line, and print one a line.")
  var jsonLines = false

  @OptionGroup(title: "What is shown") var shown: DisplayOptions

  func validate() throws {
    guard text == nil || file == nil else {
      throw ValidationError("TEXT and --file both give the text; leave one of them out.")
    }
    guard text != nil || file != nil else {
      throw ValidationError("A text is needed: TEXT, or --file FILE (- for standard input).")
    }
  }

  func run() throws {
    Report.run("meg2hf.tokenize/1", shown) { report in
      let path = Process.path(argument: tokenizer)
      let tokenizer = try Tokenizer(folder: path)
      report.warnings = tokenizer.warnings
      let input = try TextInput.read(text, file, named: "TEXT")
      if jsonLines {
        report.isStreamed = true
        // By bytes: to Swift a carriage return and a line feed are one character.
        for (number, line) in input.utf8.split(separator: UInt8(ascii: "\n")).enumerated() {
          let result = try convert(line, number + 1, tokenizer)
          guard Process.Stream.output.write(result + "\n") else {
            throw Failure(.ioError, "the result cannot be written", file: "stdout")
          }
        }
        return
      }
      if decode {
        let ids = try TextInput.ids(input)
        let text = tokenizer.decode(ids, keepingSpecial: keepSpecial)
        report.payload["ids"] = .array(ids.map { .int($0) })
        report.payload["text"] = .string(text)
        report.text = text
      } else {
        let ids = try tokenizer.encode(input)
        report.payload["ids"] = .array(ids.map { .int($0) })
        report.payload["text"] = .string(input)
        report.text = ids.map(String.init).joined(separator: " ")
      }
    }
  }

  /// A line of JSON in, a line of JSON out.
  private func convert(
    _ line: Substring.UTF8View, _ number: Int, _ tokenizer: Tokenizer
  ) throws(Failure) -> String {
    func wrong(_ expected: String) -> Failure {
      Failure(
        .tokenizerText, "line \(number) is not \(expected)", file: file,
        hint: decode ? "an array of ids a line, as [15496, 11]" : "a JSON string a line, as \"Hi\"")
    }
    guard
      let value = try? JSONParser.parse(
        Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line))
    else { throw wrong("JSON") }
    guard decode else {
      guard let text = value.string else { throw wrong("a string") }
      return JSONWriter.text(.array(try tokenizer.encode(text).map { .int($0) }), .compact)
    }
    let ids = value.array?.compactMap(\.int)
    guard let ids, ids.count == value.array?.count else { throw wrong("an array of ids") }
    return JSONWriter.text(
      .string(tokenizer.decode(ids, keepingSpecial: keepSpecial)), .compact)
  }
}
