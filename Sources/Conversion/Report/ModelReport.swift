import Architectures
import ByteIO
import Diagnostics
import HuggingFace
import JSON
public import Megatron
public import SystemPackage

/// What a converted model looks like in numbers: for people who look rather than read.
///
/// Nothing is called good: facts are stated, and what stands out is worth a look.
public struct ModelReport: Sendable {
  /// Something that was found.
  public struct Finding: Hashable, Sendable {
    /// Whether it is a fact, or only worth a look.
    public let isFact: Bool
    /// What was found, as plain text: names are not escaped for HTML.
    public let text: String
    /// The picture that shows it.
    public let picture: Picture
  }

  /// The pictures of a report, by their names in it.
  public enum Picture: String, Hashable, Sendable, CaseIterable {
    /// The standard deviation of each kind of matrix, layer by layer.
    case deviations
    /// The weights and biases of the layernorms, layer by layer.
    case gains
    /// The biases of query, key and value by layer, and the deviations of their weights by head.
    case bias
    /// The norms of the rows of the token embedding.
    case words
    /// The norms of the rows of the position embedding.
    case positions
    /// What each tensor-parallel rank held, compared layer by layer.
    case shares
    /// The curves of the run, where its event files were given.
    case run
    /// The table of all tensors.
    case numbers
  }

  /// The folder of the model, as it was given.
  public let path: FilePath
  /// Every tensor, in the order of the files.
  public let tensors: [TensorSummary]
  /// How many heads the model has, if its configuration says so.
  public let heads: Int?
  /// Facts first, and at most ten; the last one stands for the rest where there are more.
  public let findings: [Finding]
  /// The run, where its event files were given.
  public let curves: TrainingCurves?
  /// How many tensor-parallel ranks the model was trained on, where that is known.
  public let ranks: Int?
  /// The title of the model, from `config.json`.
  public let title: String

  /// At most so many findings are listed.
  static let maximumFindings = 10

  /// Reads all tensors of a model once.
  ///
  /// - Parameters:
  ///   - path: The folder.
  ///   - checkpoint: What it was made of, for the number of ranks.
  ///   - curves: The curves of the run.
  ///   - started: Called with the number of bytes that will be read.
  ///   - progress: Called with the number of bytes that were read so far.
  /// - Throws: `Failure`, or `Interrupted`.
  public init(
    _ path: FilePath, against checkpoint: Checkpoint? = nil, curves: TrainingCurves? = nil,
    started: (Int) -> Void = { _ in }, progress: (Int) -> Void = { _ in }
  ) throws {
    let directory = try ModelDirectory(reading: path)
    let found = directory.names.compactMap { directory[$0] }
    started(found.reduce(0) { $0 + $1.declared.dataOffsets.count })
    var done = 0
    var tensors: [TensorSummary] = []
    for tensor in found {
      do {
        let summary = try TensorSummary(tensor) { count in
          done += count
          progress(done)
        }
        if let summary { tensors.append(summary) }
      } catch let error as FileError {
        throw Failure(reading: error, file: tensor.fileName, tensor: tensor.declared.name)
      }
    }
    self.path = path
    self.tensors = tensors
    self.curves = curves
    let config = try? JSONFile.read(path.appending("config.json")).object
    let heads = config?["n_head"]?.int ?? config?["num_attention_heads"]?.int
    self.heads = heads
    let layers = Set(tensors.compactMap(\.layer)).count
    title =
      (config?["model_type"]?.string ?? "model")
      + (layers > 0 ? ", \(layers) layers" : "")
    let manifest = try? ConversionManifest(
      reading: path.appending(OutputTransaction.manifestName))
    let ranks =
      checkpoint?.trainedTensorParallel
      ?? manifest?.json.object?["source"]?.object?["tensor_parallel"]?.int
    self.ranks = ranks
    var finder = ReportFindings(tensors, heads: heads, ranks: ranks)
    finder.find(manifest, curves)
    findings = finder.sorted(most: ModelReport.maximumFindings)
  }

  /// The tensors of a group in the order of their layers.
  func group(_ name: String) -> [TensorSummary] {
    tensors.filter { $0.group == name && $0.layer != nil }
      .sorted { ($0.layer ?? 0) < ($1.layer ?? 0) }
  }

  /// The names of the groups that have a tensor in each layer, in the order of the model.
  var groups: [String] {
    var names: [String] = []
    for tensor in tensors where tensor.layer != nil && !names.contains(tensor.group) {
      names.append(tensor.group)
    }
    return names
  }

  /// The numbers of each kind of tensor, layer by layer.
  public var layerGroups: [(name: String, deviations: [Double], means: [Double])] {
    groups.map { name in
      let tensors = group(name)
      return (name, tensors.map(\.deviation), tensors.map(\.mean))
    }
  }

  /// Whether there is a fact among the findings.
  public var hasFacts: Bool { findings.contains(where: \.isFact) }
}
