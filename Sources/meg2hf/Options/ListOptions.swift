import ArgumentParser

/// In which order tensors are listed.
enum TensorOrder: String, ExpressibleByArgument, CaseIterable {
  /// As they come.
  case file
  case name
  /// The largest first.
  case size
}

/// What is shown of each tensor besides its name.
enum TensorColumn: String, CaseIterable {
  case dtype, shape
  case perRank = "per-rank"
  case hfName = "hf-name"
  case hfShape = "hf-shape"
  case bytes, rank, stage, file, sha256

  /// Whether a row is what one rank holds, instead of the whole tensor.
  var isOfRank: Bool { [.rank, .stage, .file, .sha256].contains(self) }

  var header: String {
    switch self {
    case .perRank: "PER RANK"
    case .hfName: "HF NAME"
    case .hfShape: "HF SHAPE"
    case .sha256: "SHA-256"
    default: rawValue.uppercased()
    }
  }
}

/// A list of columns, separated by commas.
struct ColumnList: ExpressibleByArgument {
  let columns: [TensorColumn]

  init?(argument: String) {
    var columns: [TensorColumn] = []
    for word in argument.split(separator: ",") {
      guard let column = TensorColumn(rawValue: String(word)) else { return nil }
      columns.append(column)
    }
    self.columns = columns
  }

  static let allValueStrings = TensorColumn.allCases.map(\.rawValue)
  static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

/// Which tensors `inspect` lists, and how.
struct ListOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "List only tensors whose names fit, as 'layers.17.*' or '*bias'.", valueName: "glob"))
  var tensors: String?

  @Option(name: .long, help: "In which order tensors are listed.")
  var sort = TensorOrder.file

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Which columns are shown, separated by commas: "
        + TensorColumn.allCases.map(\.rawValue).joined(separator: ", ") + ".", valueName: "list"))
  var columns: ColumnList?

  @Flag(name: .long, help: "Show layers that are alike one by one.")
  var all = false
}
