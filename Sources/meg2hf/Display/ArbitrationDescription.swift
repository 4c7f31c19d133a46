import Architectures
import Diagnostics
import Inference
import JSON

extension OrderArbitration {
  /// The fields of a JSON document.
  var json: JSONObject {
    var object = JSONObject()
    var values = JSONObject()
    for (order, loss) in losses { values[order.rawValue] = .double(loss.padded) }
    object["losses"] = .object(values)
    object["best"] = .string(best.rawValue)
    object["verdict"] = .string(verdict.rawValue)
    object["evidence"] = evidence.map { .string($0.rawValue) } ?? .null
    return object
  }

  /// The verdict in a line.
  var headline: String {
    let predictions = thousands(losses.map(\.loss.predictions).min() ?? 0)
    let same =
      alike.count > 1
      ? " (\(alike.map(\.rawValue).joined(separator: " and ")) are the same here)" : ""
    return switch verdict {
    case .confirmed: "\(best.rawValue) is confirmed by \(predictions) predictions\(same)"
    case .wrong: "the text speaks for \(best.rawValue), not \(evidence?.rawValue ?? "")\(same)"
    case .silent: "the checkpoint names no order; the text speaks for \(best.rawValue)\(same)"
    case .doesNotTell:
      "this text does not tell (\(predictions) predictions; at least "
        + "\(OrderArbitration.leastPredictions) are needed, of a model that has learnt something)"
    }
  }
}
