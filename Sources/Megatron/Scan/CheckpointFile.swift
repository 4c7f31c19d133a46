/// The kinds of files and folders that trainers leave behind, by the forms of their names.
package struct CheckpointFileKind: RawRepresentable, Hashable, Sendable {
  package let rawValue: String

  package init(rawValue: String) { self.rawValue = rawValue }

  /// One layer of a pipeline module on one tensor-parallel rank.
  package static let layer = CheckpointFileKind(rawValue: "layer")
  /// The state of one model-parallel rank: arguments, and the weights when there is no pipeline.
  package static let modelStates = CheckpointFileKind(rawValue: "modelStates")
  /// The same for ZeRO-3, one for each data-parallel rank.
  package static let zeroModelStates = CheckpointFileKind(rawValue: "zeroModelStates")
  /// Optimizer state of one data-parallel rank.
  package static let optimizerStates = CheckpointFileKind(rawValue: "optimizerStates")
  /// A mixture of experts.
  package static let expert = CheckpointFileKind(rawValue: "expert")
  /// A folder of one rank of classic Megatron-LM.
  package static let rankFolder = CheckpointFileKind(rawValue: "rankFolder")
  /// A file of classic Megatron-LM.
  package static let rankFile = CheckpointFileKind(rawValue: "rankFile")
  /// The folder of parameters of a universal checkpoint.
  package static let universalFolder = CheckpointFileKind(rawValue: "universalFolder")
  /// A part of a checkpoint of Megatron-core.
  package static let distributed = CheckpointFileKind(rawValue: "distributed")
  /// A folder of one step of DeepSpeed.
  package static let stepFolder = CheckpointFileKind(rawValue: "stepFolder")
  /// A folder of one iteration of classic Megatron-LM.
  package static let iterationFolder = CheckpointFileKind(rawValue: "iterationFolder")

  /// The folders of steps, which lie above those of all layouts.
  private static let steps: [(form: FilePattern, kind: CheckpointFileKind)] = [
    (FilePattern("global_step{step}"), .stepFolder),
    (FilePattern("global_step{step}_universal"), .stepFolder),
    (FilePattern("iter_{iteration}"), .iterationFolder),
    (FilePattern("release"), .iterationFolder),
  ]
  private static let known = LayoutReaders.all.flatMap(\.names) + steps

  /// The kind that a name has, and the numbers in it.
  ///
  /// - Parameters:
  ///   - name: The name.
  ///   - others: Forms of names besides those of the layouts that are known.
  /// - Returns: `nil` for a name that no layout has.
  package static func of(
    _ name: String, besides others: [(form: FilePattern, kind: CheckpointFileKind)] = []
  ) -> (kind: CheckpointFileKind, numbers: [String: Int])? {
    for (form, kind) in others + known {
      if let numbers = form.match(name) { return (kind, numbers) }
    }
    return nil
  }
}

/// A file or folder of a checkpoint, by its name alone.
package struct CheckpointFile: Hashable, Sendable {
  package let name: String
  package let kind: CheckpointFileKind
  /// The numbers in the name: `layer`, `tp`, `mp`, `dp`, ...
  package let numbers: [String: Int]
}
