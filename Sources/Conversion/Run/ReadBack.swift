import ByteIO
import Diagnostics
import Safetensors
import SystemPackage
import Transfer

/// How an output is checked before it appears.
public enum ReadBack: String, Hashable, Sendable, CaseIterable {
  /// Headers and sizes are read again, and the layernorms looked at.
  case fast
  /// Every tensor is computed once more, and all bytes are compared.
  case full
  /// Nothing is read again.
  case none
}

extension Conversion {
  /// Reads the finished files again.
  ///
  /// - Parameters:
  ///   - folder: The hidden folder that they are in.
  ///   - options: What is read, and on how many threads.
  /// - Returns: What the user should know.
  /// - Throws: `Failure` 74 when a file is not what was written.
  func recheck(
    _ folder: OutputTransaction, _ options: RunOptions
  ) throws -> [Diagnostic] {
    var places: [Int: ComparisonSink.Place] = [:]
    var warnings: [Diagnostic] = []
    for shard in plan.shards {
      let path = folder.finishedPath(shard.fileName)
      let file: SafetensorsFile
      do {
        file = try SafetensorsFile(opening: path)
      } catch let error as FileError {
        throw folder.failure(error)
      } catch {
        throw Conversion.damaged(path, "\(error)")
      }
      guard file.header.tensors == shard.header.tensors else {
        throw Conversion.damaged(path, "its header is not the one that was written")
      }
      for (position, tensor) in zip(shard.tensors, file.header.tensors) {
        let start = file.dataStart + tensor.dataOffsets.lowerBound
        places[position] = ComparisonSink.Place(file: file.file, start: start)
        if plan.tensors[position].isNormWeight {
          do {
            warnings += try layernormWarning(position, file.file, start)
          } catch let error as FileError {
            throw folder.failure(error)
          }
        }
      }
    }
    guard options.check == .full else { return warnings }
    let sink = ComparisonSink(plan.transfer, places: places)
    let executor = PlanExecutor(plan.transfer, crc: options.crc, threads: options.threads)
    try executor.run(into: sink)
    if let (position, _) = sink.differences.min(by: { $0.key < $1.key }) {
      var error = Conversion.damaged(
        folder.path, "its bytes are not those that were computed again")
      error.tensor = plan.tensors[position].name
      throw error
    }
    return warnings
  }

  private static func damaged(_ path: FilePath, _ detail: String) -> Failure {
    Failure(
      .outputDamaged, "reading back what was written failed: \(detail)",
      file: path.string, hint: "the disk or its memory may be at fault; try again")
  }

  /// Weights of a layernorm begin at 1 and stay near it; stored as their distance from 1 they would
  /// be near 0, and the model would load and be wrong.
  private func layernormWarning(
    _ position: Int, _ file: InputFile, _ start: Int
  ) throws -> [Diagnostic] {
    let tensor = plan.tensors[position]
    let count = tensor.shape.reduce(1, *)
    let stored = ByteBuffer(try file.read(at: start, count: tensor.byteCount))
    let wide = ByteBuffer(count: count * 4)
    _ = wide.convert(count, from: stored, at: 0, as: tensor.format, to: .float32, at: 0)
    let mean = wide.mean(count, at: 0)
    guard mean.magnitude < 0.1 || mean.magnitude > 10 else { return [] }
    return [
      Diagnostic(
        .valuesLayernorm,
        "the weights of a layernorm are \((mean * 1000).rounded() / 1000) on average, far from 1; "
          + "if they are stored as their "
          + "distance from 1: --set apply_layernorm_1p=true", tensor: tensor.name)
    ]
  }
}
