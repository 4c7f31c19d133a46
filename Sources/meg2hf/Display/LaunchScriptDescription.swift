import Diagnostics
import JSON
import LaunchScript

/// What is shown of a launch script, as JSON and as text.
struct LaunchScriptDescription {
  private let script: LaunchScript

  init(_ script: LaunchScript) { self.script = script }

  /// The members of the document.
  var payload: JSONObject {
    var object = JSONObject()
    object["kind"] = "launch-script"
    object["launches"] = .array(
      script.launches.map { launch in
        [
          "line": .int(launch.line), "launcher": .strings(launch.launcher),
          "program": .string(launch.program), "may_be_options": .strings(launch.mayBeOptions),
        ]
      })
    object["ways"] = .int(script.ways)
    object["options"] = .array(
      script.options.map { option in
        [
          "name": .string(option.name),
          "values": option.values.map { .strings($0) }
            ?? .array(option.alternatives.map { $0.map { .strings($0) } ?? .null }),
          "exact": .bool(option.values != nil),
          "assumed": .bool(option.values != nil && !option.assumptions.isEmpty),
          "reason": option.reason.map { .string($0) } ?? .null, "line": .int(option.line),
        ]
      })
    object["conditions"] = .strings(script.conditions)
    object["assumptions"] = .strings(script.assumptions)
    object["submitted"] = .strings(script.submitted)
    object["requests"] = .array(
      script.requests.map { ["name": .string($0.name), "value": .string($0.value)] })
    return object
  }

  /// The launches, their options, and what is not known.
  func text(_ path: String) -> String {
    var text =
      "\(path): \(plural(script.launches.count, "launch", "launches")), "
      + "\(plural(script.options.count, "option"))\n"
    var facts = TextTable()
    for launch in script.launches {
      facts.add("line \(launch.line)", (launch.launcher + [launch.program]).joined(separator: " "))
    }
    if !script.requests.isEmpty {
      facts.add(
        "asked of Slurm",
        script.requests.map { $0.value.isEmpty ? $0.name : "\($0.name)=\($0.value)" }
          .joined(separator: ", "))
    }
    if script.ways > 1 {
      facts.add(
        "ways",
        "\(script.ways), since it is not known: \(script.conditions.joined(separator: ", "))")
    }
    for assumption in script.assumptions { facts.add("assumed", assumption) }
    for word in script.mayBeOptions { facts.add("any options", word) }
    text += facts.text()
    var table = TextTable(["OPTION", "VALUE", ""])
    for option in script.options {
      table.add(
        option.name,
        option.values.map { $0.isEmpty ? "given" : $0.joined(separator: " ") } ?? option.reason
          ?? "",
        option.values == nil ? "not known" : option.assumptions.isEmpty ? "" : "assumed")
    }
    return text + (table.isEmpty ? "" : "\n" + table.text())
  }
}

extension JSONValue {
  /// A list of texts.
  fileprivate static func strings(_ texts: [String]) -> JSONValue {
    .array(texts.map { .string($0) })
  }
}
