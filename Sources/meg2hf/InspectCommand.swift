import ArgumentParser
import ByteIO
import Conversion
import Safetensors
import SystemPackage
import TorchArchive

/// `meg2hf inspect PATH`
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a checkpoint, or a PyTorch file, holds.",
    discussion: """
      A folder is taken as a checkpoint: its layout, degrees of parallelism, arguments and tensors \
      are shown, and whether it can be converted. A file is taken as a PyTorch file, whose tensors \
      are listed. Directories and pickles are read, but no tensor, unless --sha256 asks for it.

      EXAMPLES:
        meg2hf inspect runs/gpt2
        meg2hf inspect runs/gpt2/global_step1000/layer_03-model_00-model_states.pt --sha256 --json
      """)

  @Argument(help: "A folder of a run or of a step, or a PyTorch file.", completion: .file())
  var path: String

  @Flag(name: .long, help: "Print the SHA-256 of the values of each tensor.")
  var sha256 = false

  @OptionGroup(title: "What is read") var source: SourceOptions
  @OptionGroup(title: "What is shown") var shown: OutputOptions

  func run() throws {
    Report.run("meg2hf.inspect/1", shown) { report in
      let path = Process.path(argument: self.path)
      let kind: FileSystem.Kind?
      do {
        kind = try FileSystem.kind(of: path)
      } catch {
        throw ConversionError(reading: error, file: path)
      }
      if kind == .folder {
        do {
          try inspectCheckpoint(path, &report)
        } catch let error as ConversionError where error.code == "checkpoint/none" {
          guard ["pt", "pth", "bin", "ckpt"].contains(path.extension) else { throw error }
          throw ConversionError(
            .noInput, "io/not-a-file", "this is a folder, and holds no checkpoint",
            file: path.string)
        }
      } else {
        report.payload["kind"] = "torch-file"
        try inspectFile(path, &report)
      }
    }
  }

  // MARK: - A PyTorch file

  private func inspectFile(_ path: FilePath, _ report: inout Report) throws {
    // The list is part of the document even when the file cannot be read.
    report.payload["tensors"] = []
    let inspection = try TorchFileInspection(
      path, sha256: sha256, crc: source.crc, limits: source.torchLimits())
    report.payload["tensors"] = .array(inspection.json)
    report.errors = inspection.errors
    report.warnings = inspection.warnings
    if !inspection.errors.isEmpty {
      report.exitCode = ConversionError.Status.malformed.rawValue
    }
    // Making a table of many rows takes longer than reading them.
    guard !shown.json else { return }
    var table = TextTable(["TENSOR", "DTYPE", "SHAPE"] + (sha256 ? ["SHA-256"] : []))
    for entry in inspection.tensors {
      table.add(
        entry.name.isEmpty ? "(root)" : entry.name, entry.tensor?.dtype.rawValue ?? "-",
        entry.tensor.map { shapeText($0.sizes) } ?? "-",
        entry.sha256 ?? entry.error.map { "refused: \($0.code)" } ?? "")
    }
    report.text =
      "\(path.string): \(counted(inspection.tensors.count, "tensor"))\n"
      + (inspection.tensors.isEmpty ? "" : table.text())
  }

  // MARK: - A checkpoint

  private func inspectCheckpoint(_ path: FilePath, _ report: inout Report) throws {
    report.payload["kind"] = "checkpoint"
    let index = try source.index(path)
    var options = ConversionOptions()
    options.qkvLayout = source.qkvLayout.value
    let inspection = try CheckpointInspection(index, options: options)
    let digests = sha256 ? try CheckpointDigests(index, crc: source.crc) : nil
    report.warnings = inspection.plan?.warnings ?? index.warnings
    let description = CheckpointDescription(inspection, digests)
    for member in description.payload.members { report.payload[member.key] = member.value }
    report.text = description.text(verbose: shown.verbose)
  }
}
