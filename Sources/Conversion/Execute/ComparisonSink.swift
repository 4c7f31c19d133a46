import ByteIO
import Safetensors

/// Compares tensors with those of an output that exists.
final class ComparisonSink: TensorSink {
  /// Where a tensor lies in the output.
  struct Place {
    let file: InputFile
    let start: Int
  }

  /// How a tensor differs.
  struct Difference: Hashable {
    /// Elements whose bits differ.
    var elements = 0
    /// The first of them that was met.
    var first: Int
    var largest: Float = 0
  }

  private(set) var differences: [Int: Difference] = [:]
  private(set) var bytesRead = 0
  private let plan: ConversionPlan
  private let places: [Int: Place]
  private let found = ByteBuffer(count: PlanExecutor.stageSize)

  init(_ plan: ConversionPlan, places: [Int: Place]) {
    self.plan = plan
    self.places = places
  }

  func accept(_ range: Range<Int>, of buffer: ByteBuffer, tensor: Int, at offset: Int) throws {
    guard let place = places[tensor] else { return }
    let format = plan.tensors[tensor].format
    var done = 0
    while done < range.count {
      let count = min(found.count, range.count - done)
      let expected = range.lowerBound + done..<range.lowerBound + done + count
      do {
        try place.file.read(at: place.start + offset + done, into: found, 0..<count)
      } catch {
        throw ConversionError(reading: error, file: place.file.path)
      }
      bytesRead += count
      if let byte = buffer.firstDifference(expected, from: found, at: 0) {
        let (elements, largest) = buffer.difference(
          count / format.size, as: format, at: expected.lowerBound, from: found, at: 0)
        let first = (offset + done + byte) / format.size
        var difference = differences[tensor] ?? Difference(first: first)
        difference.elements += elements
        difference.first = min(difference.first, first)
        difference.largest = max(difference.largest, largest)
        differences[tensor] = difference
      }
      done += count
    }
  }
}
