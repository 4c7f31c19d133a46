import ByteIO
import Diagnostics
import TorchArchive

extension PlanExecutor {
  /// Hands out what was found since the last time, so that it can be kept with the file that was
  /// made.
  package func takeFindings() -> PartialFindings {
    let taken = PartialFindings(tensors: report.findings, checksums: ledgers)
    report.findings = [:]
    ledgers = [:]
    return taken
  }

  /// Takes back what was found in another run, or by another process.
  package func absorb(_ part: PartialFindings) {
    report.findings.merge(part.tensors) { _, new in new }
    for (storage, ledger) in part.checksums {
      ledgers[storage, default: ChecksumLedger()].absorb(ledger)
    }
  }

  /// Whether so little of a storage was passed over, such as the padding of a flat partition, that
  /// the checksum of all the rest is worth reading it.
  private func isNearlyRead(_ reader: StoredBytesReader) -> Bool {
    let size = reader.entry.size
    return size - reader.ledger.coveredBytes <= max(1 << 16, size / 100)
  }

  /// Compares the CRC of every storage that was touched, as far as it was read in all runs. An
  /// output is whole only after that.
  ///
  /// - Throws: `Failure` 65 for a storage that is damaged, or what ``checkWanted()`` throws.
  package func finish() throws {
    defer {
      ledgers = [:]
      releaseMemory()
    }
    for (storage, _) in ledgers.sorted(by: { $0.key < $1.key }) {
      let reader = try reader(storage)
      do {
        if crc == .all || crc == .auto && isNearlyRead(reader) {
          try reader.readRest(through: bench.window, before: checkWanted)
        }
        switch try reader.verdict() {
        case .verified: report.crcVerified += 1
        case .notRecorded: report.crcNotRecorded += 1
        case .partlyRead: report.crcPartlyRead += 1
        case .notChecked: break
        }
      } catch let error where error is TorchFileError || error is FileError {
        throw Failure(
          reading: error, file: plan.files[plan.storages[storage].file].path)
      }
    }
  }
}
