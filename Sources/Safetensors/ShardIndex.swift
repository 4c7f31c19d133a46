public import ByteIO
import JSON

/// `model.safetensors.index.json`: which file holds which tensor.
public struct ShardIndex: Hashable, Sendable {
  /// Tensor name to file name.
  public let weightMap: [UTF8Key: String]
  /// The bytes of all tensors, as the index states them.
  public let totalSize: Int?
  /// The elements of all tensors, as the index states them.
  public let totalParameters: Int?

  /// The name of the index of `model-….safetensors` shards.
  public static let fileName = "model.safetensors.index.json"

  /// An index to write: file names by tensor names, the sum of the sizes in bytes, and the number
  /// of elements.
  public init(weightMap: [String: String], totalSize: Int, totalParameters: Int) {
    self.weightMap = Dictionary(
      weightMap.map { (UTF8Key($0.key), $0.value) }, uniquingKeysWith: { $1 })
    self.totalSize = totalSize
    self.totalParameters = totalParameters
  }

  /// Reads an index.
  ///
  /// - Throws: ``SafetensorsError`` `invalidIndex`. File names that are paths are refused: an index
  ///   does not choose where we read.
  public init(parsing json: [UInt8]) throws(SafetensorsError) {
    func invalid(_ detail: String) -> SafetensorsError { SafetensorsError(.invalidIndex, detail) }
    let value: JSONValue
    do {
      value = try JSONParser.parse(json)
    } catch {
      throw invalid("the index is not JSON: \(error)")
    }
    guard let object = value.object, let map = object["weight_map"]?.object else {
      throw invalid("the index has no weight_map")
    }
    guard map.repeatedKeys.isEmpty else {
      throw invalid("\(map.repeatedKeys[0]) occurs more than once")
    }
    var weightMap: [UTF8Key: String] = [:]
    for member in map.members {
      guard let file = member.value.string, !file.isEmpty, !file.contains("/"),
        !file.contains("\0"), file != "..", file != "."
      else { throw invalid("\(member.key) is not in a file of this folder") }
      weightMap[UTF8Key(member.key)] = file
    }
    self.weightMap = weightMap
    guard let metadata = object["metadata"]?.object else {
      throw invalid("the index has no metadata, which transformers needs")
    }
    totalSize = metadata["total_size"]?.int
    totalParameters = metadata["total_parameters"]?.int
  }

  /// The text of the index, as `save_pretrained` writes it.
  public var serialized: String {
    let members = weightMap.map { JSONObject.Member(key: $0.key.string, value: .string($0.value)) }
    return JSONWriter.text(
      [
        "metadata": [
          "total_parameters": totalParameters.map { .int($0) } ?? .null,
          "total_size": totalSize.map { .int($0) } ?? .null,
        ],
        "weight_map": .object(JSONObject(members)),
      ], .sorted)
  }

  /// The name of shard `number` (from 1) of `count`; a single one has no number.
  public static func shardName(_ number: Int, of count: Int) -> String {
    if count == 1 { return "model.safetensors" }
    func padded(_ value: Int) -> String {
      let digits = "\(value)"
      return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
    return "model-\(padded(number))-of-\(padded(count)).safetensors"
  }

  /// Groups tensors into shards by the rule of huggingface_hub
  /// (`split_torch_state_dict_into_shards`).
  ///
  /// The tensors come in the order of the model's modules. One that is larger than `limit` becomes
  /// a shard of its own at once, while the open shard stays open; one that does not fit any more
  /// closes the open shard.
  ///
  /// - Parameters:
  ///   - sizes: The sizes of the tensors in bytes.
  ///   - limit: The largest size of a shard; `nil` puts all into one.
  /// - Returns: The positions of the tensors of each shard.
  public static func group(sizes: [Int], limit: Int?) -> [[Int]] {
    guard let limit else { return sizes.isEmpty ? [] : [Array(sizes.indices)] }
    var shards: [[Int]] = []
    var open: [Int] = []
    var openSize = 0
    for (index, size) in sizes.enumerated() {
      if size > limit {
        shards.append([index])
        continue
      }
      if openSize + size > limit {
        shards.append(open)
        open = []
        openSize = 0
      }
      open.append(index)
      openSize += size
    }
    if !open.isEmpty { shards.append(open) }
    return shards
  }
}
