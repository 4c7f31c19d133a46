import ByteIO
import Diagnostics
import SystemPackage

/// Errors of a folder that is not the one that was meant: before they say that something is
/// missing, they look at what is there, one level down and one up.
enum CheckpointAdvice {
  /// The error for a folder without a checkpoint.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - run: The folder of the run, where a tracker in it led here.
  /// - Returns: The error.
  static func none(in folder: FilePath, of run: FilePath? = nil) -> Failure {
    let names = names(in: folder)
    func error(_ code: Diagnostic.Code, _ message: String, _ hint: String) -> Failure {
      Failure(code.as(.noInput), message, file: folder.string, hint: hint)
    }
    if let kind = other(names) { return error(kind.code, kind.message, kind.hint) }
    let absolute = FileSystem.absolute(folder)
    if names.contains("fp32.pt"), absolute.removingLastComponent().lastComponent?.string == "zero" {
      return error(
        .checkpointPart, "the folder is one parameter of a universal checkpoint",
        "give the folder above zero: "
          + absolute.removingLastComponent().removingLastComponent().string)
    }
    let isRank = absolute.lastComponent.map {
      CheckpointFileKind.of($0.string)?.kind == .rankFolder
    }
    if isRank != true, let file = names.first(where: { $0.hasSuffix(".ckpt") }) {
      return error(
        .checkpointNone, "no checkpoint is in this folder by its names, but files of weights are",
        "give the file: \(folder.appending(file).string)")
    }
    let near = checkpoints(near: folder, isBelowRun: run != nil)
    if let run, near.isEmpty {
      let others = (try? CheckpointFolder.list(run))?.filter {
        $0.name != folder.lastComponent?.string
      }
      return error(
        .checkpointNone,
        names.isEmpty
          ? "the folder of this step is empty" : "no weights are in the folder of this step",
        others.flatMap(CheckpointFolder.available)
          ?? (names.isEmpty
            ? "the save was not finished, or its files were not copied"
            : "it holds \(PathAdvice.listed(names))"))
    }
    if !near.isEmpty {
      return error(
        .checkpointNone,
        "no checkpoint of Megatron-DeepSpeed or Megatron-LM is in this folder itself",
        near.count == 1
          ? "there is one in \(near[0].string): give that folder"
          : "there are \(near.count) below it: "
            + near.prefix(4).map(\.string).joined(separator: ", ") + (near.count > 4 ? ", ..." : "")
            + "; give one of them")
    }
    if names.isEmpty {
      return error(
        .checkpointNone, "the folder is empty",
        "give the folder of a run, which holds `latest`, or of a step of it")
    }
    let known = names.compactMap { CheckpointFileKind.of($0) }.map(\.kind)
    let message =
      known.contains(.optimizerStates)
      ? "the folder holds optimizer states, but no model weights"
      : "no checkpoint of Megatron-DeepSpeed or Megatron-LM is in this folder"
    return error(
      .checkpointNone, message,
      "it holds \(PathAdvice.listed(names)); expected: layer_XX-model_YY-model_states.pt, "
        + "mp_rank_XX_model_states.pt, mp_rank_XX/model_optim_rng.pt, or a folder above them with "
        + "a file "
        + "`latest`")
  }

  /// What else a folder can be, by the names in it.
  private static func other(
    _ names: [String]
  ) -> (code: Diagnostic.Code, message: String, hint: String)? {
    func has(_ test: (String) -> Bool) -> Bool { names.contains(where: test) }
    let isBin = has { $0.hasPrefix("pytorch_model") && $0.hasSuffix(".bin") }
    if has({ $0.hasSuffix(".safetensors") }) || isBin {
      return (
        .checkpointHuggingFace,
        "this is a folder of Hugging Face transformers already, not a Megatron checkpoint",
        isBin
          ? "nothing is to be converted; transformers loads it, and save_pretrained writes "
            + "safetensors"
          : "nothing is to be converted: verify checks it, inspect shows it"
      )
    }
    if has({ $0 == ".zmetadata" || $0 == ".zarray" })
      || names.filter({ $0.hasPrefix("decoder.layers.") || $0.hasPrefix("model.decoder.") }).count
        > 2
    {
      return (
        .distributedIncomplete,
        "folders of tensors in zarr form are here, but no metadata.json beside them",
        "give the folder of a step of Megatron-core, which has it, or copy the missing file"
      )
    }
    for (ending, program) in [".gz": "gunzip", ".xz": "unxz", ".zst": "unzstd", ".bz2": "bunzip2"] {
      guard let file = names.first(where: { $0.hasSuffix(".pt\(ending)") }) else { continue }
      return (
        .checkpointCompressed, "the files of the checkpoint are compressed, such as \"\(file)\"",
        "unpack them first: \(program) *\(ending)"
      )
    }
    for ending in [".nemo", ".tar.gz", ".tgz", ".tar", ".zip", ".tar.zst"] {
      guard let archive = names.first(where: { $0.hasSuffix(ending) }) else { continue }
      let unpack = ending == ".zip" ? "unzip" : "tar -xf"
      return (
        .checkpointArchive, "the folder holds an archive, \"\(archive)\", and no checkpoint",
        "unpack it first: \(unpack) \(archive)"
      )
    }
    return nil
  }

  /// Folders with a checkpoint within two levels below, as in the cache of the Hub
  /// (`snapshots/REVISION`) or in a copy that lies one level too deep, or right above.
  private static func checkpoints(near folder: FilePath, isBelowRun: Bool) -> [FilePath] {
    var found: [FilePath] = []
    for name in names(in: folder).prefix(200) {
      let below = folder.appending(name)
      guard isFolder(below) else { continue }
      if isCheckpoint(below) {
        found.append(below)
        continue
      }
      for inner in names(in: below).prefix(50) where isCheckpoint(below.appending(inner)) {
        found.append(below.appending(inner))
      }
    }
    if found.isEmpty, !isBelowRun {
      let above = FileSystem.absolute(folder).removingLastComponent()
      if isCheckpoint(above) { return [above] }
    }
    return found
  }

  private static func isCheckpoint(_ folder: FilePath) -> Bool {
    let names = names(in: folder)
    if names.contains("latest") || names.contains("latest_checkpointed_iteration.txt") {
      return true
    }
    let kinds = Set(names.compactMap { CheckpointFileKind.of($0)?.kind })
    return !kinds.isDisjoint(with: [
      .layer, .modelStates, .zeroModelStates, .rankFolder, .rankFile, .distributed, .stepFolder,
      .iterationFolder,
    ])
  }

  private static func names(in folder: FilePath) -> [String] {
    ((try? FileSystem.list(folder)) ?? []).map(\.string)
  }

  private static func isFolder(_ path: FilePath) -> Bool {
    ((try? FileSystem.kind(of: path)) ?? nil) == .folder
  }

  /// The error for a step that a tracker or the user names and that is not there.
  static func noStep(
    _ name: String, in root: FilePath, _ files: [CheckpointFile],
    _ choice: CheckpointFolder.Choice
  ) -> Failure {
    let who =
      choice == .latest
      ? "the tracker file names \"\(name)\", but there is no such folder: the save was not "
        + "finished, or "
        + "the folder was renamed or not copied"
      : "there is no folder \"\(name)\""
    // A renamed step has the files of one.
    let renamed = names(in: root).filter { isCheckpoint(root.appending($0)) }
    return Failure(
      .checkpointNoStep, who, file: root.string,
      hint: CheckpointFolder.available(files)
        ?? (renamed.isEmpty
          ? "it holds \(PathAdvice.listed(names(in: root)))"
          : "name one with --tag: " + renamed.prefix(8).joined(separator: ", ")))
  }

  // MARK: - One rank of several

  /// Refuses a file that is a part of a checkpoint whose other files lie next to it.
  static func refusePart(
    _ file: FilePath, _ kind: CheckpointFileKind?, in folder: FilePath
  ) throws(Failure) {
    let siblings = names(in: folder).compactMap { CheckpointFileKind.of($0)?.kind }
    let isPart: Bool =
      switch kind {
      case .layer, .optimizerStates, .zeroModelStates, .expert, .distributed: true
      case .modelStates: siblings.count { $0 == .modelStates || $0 == .layer } > 1
      default: false
      }
    if file.lastComponent?.string == "fp32.pt",
      FileSystem.absolute(folder).removingLastComponent().lastComponent?.string == "zero"
    {
      throw none(in: folder)
    }
    if isPart {
      throw Failure(
        .checkpointPart, "this file is a part of a checkpoint", file: file.string,
        hint: "give the folder that it is in: \(folder.string)")
    }
    try refuseLoneRank(folder, [])
  }

  /// Refuses the folder of one rank, or the file in it, while those of other ranks lie next to it.
  static func refuseLoneRank(
    _ folder: FilePath, _ files: [CheckpointFile]
  ) throws(Failure) {
    // The folders of ranks lie within the folder of a step.
    guard !files.contains(where: { $0.kind == .rankFolder }) else { return }
    let whole = FileSystem.absolute(folder)
    guard let name = whole.lastComponent?.string, CheckpointFileKind.of(name)?.kind == .rankFolder
    else { return }
    let above = whole.removingLastComponent()
    let ranks = names(in: above).filter { CheckpointFileKind.of($0)?.kind == .rankFolder }
    guard ranks.count > 1 else { return }
    throw Failure(
      .checkpointPart,
      "\"\(name)\" is one of several ranks of a checkpoint: "
        + "\(PathAdvice.listed(ranks.filter { $0 != name })) lie next to it", file: folder.string,
      hint: "give the folder above: \(above.string)")
  }
}
