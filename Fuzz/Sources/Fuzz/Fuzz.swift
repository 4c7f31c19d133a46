import Glibc
import SystemPackage

/// The target that `FUZZ_TARGET` names.
private let target: FuzzTarget = {
  let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget(rawValue: name) else {
    print("FUZZ_TARGET is one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(64)
  }
  return target
}()

/// In memory, because every input is written to a file; `FUZZ_CHECKPOINT` names the dump. The shell
/// script removes it: the fuzzer ends the process without asking.
private let scratch: Scratch = {
  let source = getenv("FUZZ_CHECKPOINT").map { String(cString: $0) } ?? ""
  do {
    return try Scratch(in: "/dev/shm", copying: FilePath(source))
  } catch {
    print("cannot copy FUZZ_CHECKPOINT \(source): \(error)")
    exit(66)
  }
}()

/// What libFuzzer calls.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  try? target.run(Array(UnsafeBufferPointer(start: start, count: count)), in: scratch)
  return 0
}
