public import Architectures
import SystemPackage
import TorchArchive

/// What architectures ask of a checkpoint.
extension Checkpoint: ModelFacts {
  public var tensorNames: [String] { tensors.map(\.name) }

  // Universal checkpoints are cut to the rows before padding.
  public var isCutToVocabulary: Bool { folder.layout == .universal }

  public var isWhole: Bool { folder.layout == .distributed }

  public var isNamedByNeoX: Bool { names == .neox }

  public var isNamedByCore: Bool { names == .core }

  public var isOfPipelineModule: Bool {
    folder.layout == .deepspeedPipeline || folder.layout == .universal
  }

  public var expertFiles: [String] {
    folder.files.filter { $0.kind == .expert }.map(\.name)
  }

  public var folderName: String { folder.path.string }

  public func shape(of name: String) -> [Int]? { tensor(name)?.shards.first?.sizes }

  public func file(of name: String) -> String? {
    tensor(name)?.shards.first.map { files[$0.file].name }
  }
}
