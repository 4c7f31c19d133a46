import ByteIO
import TorchArchive

extension PlanExecutor {
  /// Looks for parts of two ranks that are bit for bit the same, where the archives record no checksums by
  /// which that was seen before anything was read.
  ///
  /// - Parameters:
  ///   - assembly: The tensor, whose parts are those of the ranks.
  ///   - crcs: The CRC-32 of each part.
  /// - Throws: ``ConversionError`` 65, unless the user takes such parts.
  func compareParts(of assembly: TensorAssembly, _ crcs: [UInt32]) throws {
    struct Mark: Hashable {
      let crc: UInt32
      let count: Int
    }
    var seen: [Mark: TensorAssembly.Part] = [:]
    for (part, crc) in zip(assembly.parts, crcs)
    where part.isDense && plan.storages[part.storage].entry.crc == nil
      // Zeros, as of holes, need not be read again.
      && crc != CRC32.ofZeros(part.bytes.count)
    {
      guard let other = seen.updateValue(part, forKey: Mark(crc: crc, count: part.bytes.count)),
        other.storage != part.storage,
        try DuplicatedShards.areTheSame(
          run(other, assembly.stored.size), run(part, assembly.stored.size))
      else { continue }
      report.duplicated[assembly.tensor] = [other.storage, part.storage]
      guard !plan.options.acceptsDuplicatedShards else { return }
      let tensor = plan.tensors[assembly.tensor]
      throw DuplicatedShards.error(
        plan.duplicateText([other.storage, part.storage]),
        file: plan.files[plan.storages[part.storage].file].path, tensor: tensor.source)
    }
  }

  private func run(_ part: TensorAssembly.Part, _ size: Int) -> DuplicatedShards.Run {
    let storage = plan.storages[part.storage]
    return DuplicatedShards.Run(
      path: plan.files[storage.file].path, entry: storage.entry, start: part.bytes.lowerBound,
      bytes: part.bytes.count, size: size)
  }
}

extension ConversionPlan {
  /// What is said of two storages that hold the same partition.
  func duplicateText(_ storages: [Int]) -> String {
    let names = storages.map { files[self.storages[$0].file].name }
    return
      "two tensor-parallel ranks hold the same partition, in \(names[0]) and \(names[1]), which two "
      + "ranks never do after training: the file of one stands in the place of the other's"
  }
}
