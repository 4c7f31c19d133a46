import Architectures
import EventLog
package import JSON
import LaunchScript

extension RunRecords {
  /// The records for the manifest: no path of the run's machine is in it, and nothing of this one.
  package func json(_ check: RecordCheck?) -> JSONValue {
    [
      "script": script.map { $0.json } ?? .null,
      "logs": logs.map { run in
        [
          "files": .array(
            logFiles.map { ["size": .int($0.size), "sha256": .string($0.sha256)] }),
          "jobs": .int(run.jobCount), "records": .int(run.recordCount),
        ]
      } ?? .null,
      "cross_check": .array(check?.rows.map(\.json) ?? []),
    ]
  }
}

extension RunRecords.Script {
  fileprivate var json: JSONValue {
    let exact = options.filter { $0.values != nil && $0.assumptions.isEmpty }
    let words: Set<String> = [
      "optimizer", "lr-decay-style", "tokenizer-type", "position-embedding-type", "normalization",
      "glu-activation", "distributed-backend", "attention-backend", "data-impl", "split",
      "pp-partition-method", "dataloader-type", "recompute-granularity", "recompute-method",
    ]
    // Manifests are published: numbers, flags, and the words of some options.
    let shown = exact.filter { option in
      words.contains(option.name)
        || option.values?.allSatisfy { Double($0.filter { $0 != "_" }) != nil } == true
    }
    return [
      "name": .string(name), "size": .int(size), "sha256": .string(sha256),
      "options": .object(
        JSONObject(
          shown.map { option in
            .init(
              key: option.name, value: .array((option.values ?? []).map { .string($0) }))
          })),
      "paths_left_out": .int(exact.count - shown.count),
      "assumed": .int(options.count { $0.values != nil && !$0.assumptions.isEmpty }),
      "not_known": .int(options.count { $0.values == nil }),
    ]
  }
}

extension RecordCheck.Row {
  /// The row for programs.
  package var json: JSONValue {
    /// Types by the names that arguments have for them.
    func value(_ value: ArgumentValue?) -> JSONValue {
      guard case .name(let name)? = value else { return value?.json ?? .null }
      return .string(name.split(separator: ".").last.map(String.init) ?? name)
    }
    return [
      "option": .string(name), "checkpoint": value(checkpoint), "logs": value(logs),
      "script": value(script),
      "verdict": .string(verdict.rawValue), "line": line.map { .int($0) } ?? .null,
    ]
  }
}
