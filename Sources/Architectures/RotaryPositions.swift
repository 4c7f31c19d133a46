import Diagnostics
import JSON

/// How a model was told the positions of its tokens: by turning queries and keys. What was turned
/// by how much stands in the arguments alone, and a wrong reading loads without an error.
struct RotaryPositions {
  /// The base of the frequencies.
  let base: Double
  /// The factor of Llama 3's scaling; `nil` for none.
  let scaling: Double?
  let decisions: [Decision]

  /// Works out base and scaling.
  ///
  /// - Throws: `Failure` 78 where records contradict each other.
  init(_ facts: any ModelFacts) throws(Failure) {
    let arguments = facts.arguments
    var found: (value: Double, reason: String, basis: Decision.Basis)?
    for key in [ArgumentKey.ropeTheta, .rotaryBase] {
      guard let value = try arguments.double(key) else { continue }
      if let other = found, other.value != value {
        throw Failure(
          .argumentsContradiction, "\(key) is \(value), but \(other.reason) \(other.value)",
          hint: "say which with --set \(key)=N")
      }
      found = (
        value, arguments.source(of: key) == .user ? "given by --set \(key)" : "\(key)", .fact
      )
    }
    if let table = facts.rotaryTable?.base {
      if let said = found, abs(said.value / table - 1) > 1e-4,
        arguments.source(of: .ropeTheta) != .user
      {
        throw Failure(
          .argumentsContradiction,
          "\(said.reason) is \(said.value), but the angles beside the weights follow \(table)",
          hint: "say which with --set rope_theta=N")
      }
      if found == nil {
        found = (RotaryPositions.plain(table), "the angles beside the weights", .fact)
      }
    }
    // A checkpoint without arguments, or with those of a script, says nothing about its release.
    let isSaid =
      arguments.isPresent && arguments.has(.positionEmbeddingType)
      && arguments.source(of: .positionEmbeddingType) == .checkpoint
    if found == nil, isSaid, facts.isWhole || facts.isNamedByCore {
      found = (
        10000, "there is no rotary_base, as up to Megatron-core 0.7, which always took it", .fact
      )
    }
    let (value, reason, basis) =
      found ?? (10000, "there is no rope_theta; it is the default of most trainers", .guess)
    guard value > 1, value < 1e12 else {
      throw Failure(
        .argumentsContradiction, "a rotary base of \(value) makes no sense",
        hint: "correct it with --set rotary_base=N")
    }
    base = value
    var decisions = [
      Decision(
        "rope_theta", .double(value), reason, basis, hint: "--set rope_theta=N settles it")
    ]
    if try arguments.bool(ArgumentKey("use_rope_scaling")) == true {
      let key = ArgumentKey("rope_scaling_factor")
      let said = arguments.source(of: key) == .user ? try arguments.double(key) : nil
      scaling = said ?? 8
      decisions.append(
        Decision(
          "rope_scaling", .string("llama3"),
          said == nil
            ? "use_rope_scaling: the trainer's scripts always take a factor of 8"
            : "use_rope_scaling, with the factor given by --set"))
    } else {
      scaling = nil
    }
    self.decisions = decisions
  }

  /// The number of few digits that a base worked out of float32 angles was, or the base itself.
  private static func plain(_ base: Double) -> Double {
    for digits in [100.0, 10_000, 1_000_000] {
      var unit = 1.0
      while base / unit >= digits { unit *= 10 }
      let rounded = (base / unit).rounded() * unit
      if abs(rounded / base - 1) < 3e-7 { return rounded }
    }
    return base
  }

  /// `rope_parameters`, as transformers 5 reads it.
  var parameters: JSONValue { parameters(part: nil) }

  /// The same of a family that can turn a part of each head alone.
  func parameters(part: Double?) -> JSONValue {
    .object(
      JSONObject(
        (part.map { [.init(key: "partial_rotary_factor", value: .double($0))] } ?? [])
          + [.init(key: "rope_theta", value: .double(base))]
          + (scaling == nil ? [.init(key: "rope_type", value: "default")] : scaled)))
  }

  /// `rope_scaling`, as transformers 4 reads it; `nil` for none.
  var scalingParameters: JSONValue? {
    scaling == nil ? nil : .object(JSONObject(scaled))
  }

  private var scaled: [JSONObject.Member] {
    [
      .init(key: "rope_type", value: "llama3"), .init(key: "factor", value: .double(scaling ?? 8)),
      .init(key: "low_freq_factor", value: 1.0), .init(key: "high_freq_factor", value: 4.0),
      .init(key: "original_max_position_embeddings", value: 8192),
    ]
  }

  /// Whether arguments say that positions are rotary: by name, or by the value that the enumeration
  /// of bigscience's fork had.
  static func isRotary(_ arguments: TrainingArguments) -> Bool {
    if let type = arguments[.positionEmbeddingType] {
      switch type {
      case .member(_, let value): if value == "1" || value == "rotary" { return true }
      default:
        let text = type.text.split(separator: ".").last.map(String.init) ?? type.text
        if ["rope", "rotary", "yarn", "mrope", "PositionEmbeddingType(1)"].contains(text) {
          return true
        }
      }
    }
    return ((try? arguments.bool(.useRotaryPositionEmbeddings)) ?? nil) == true
  }

  /// Reports every reason why a model's rotary positions are not the ones that a family has.
  ///
  /// - Parameters:
  ///   - facts: The checkpoint.
  ///   - title: What people call the family.
  ///   - mayBePartial: Whether it can turn a part of each head alone.
  ///   - refuse: Takes the code and the reason.
  /// - Throws: `Failure` 78 for an argument of the wrong type.
  static func review(
    _ facts: any ModelFacts, _ title: String, mayBePartial: Bool = false,
    _ refuse: (_ code: String, _ reason: String) -> Void
  ) throws(Failure) {
    let arguments = facts.arguments
    if let type = arguments[.positionEmbeddingType]?.text,
      ["yarn", "mrope", "none", "relative"].contains(type)
    {
      refuse("positions", "position_embedding_type is \(type): \(title) turns plainly (rope)")
    }
    if let type = arguments[.positionEmbeddingType],
      !isRotary(TrainingArguments(values: ["position_embedding_type": type]))
    {
      // Megatron-core goes by the type alone; the others have no other type beside the switch than
      // the default.
      let isDefault = type.text.hasSuffix("absolute")
      if !isDefault || facts.isWhole || facts.isNamedByCore {
        refuse(
          "positions",
          "position_embedding_type is \(type.text), but use_rotary_position_embeddings is True")
      }
    }
    for key in ["rotary_percent", "rotary_pct"] where !mayBePartial {
      if let part = try arguments.double(ArgumentKey(key)), part != 1 {
        refuse("partial-rotary", "\(key) is \(part): \(title) turns all channels of a head")
      }
    }
    if try arguments.bool(ArgumentKey("rotary_interleaved")) == true {
      refuse(
        "interleaved-rotary",
        "rotary_interleaved: \(title) turns the halves of a head, not neighbours")
    }
    let factor = ArgumentKey("rotary_seq_len_interpolation_factor")
    if let value = arguments[factor], value.literal != .none, value.number != 1 {
      refuse(
        "rotary-interpolation",
        "\(factor) is \(value.text): it had no effect before Megatron-core 0.19, and which "
          + "release trained the model is not recorded; if it had none: --set \(factor)=1")
    }
    let scale = ArgumentKey("rope_scaling_factor")
    if try arguments.bool(ArgumentKey("use_rope_scaling")) == true,
      let value = try arguments.double(scale), value != 8, arguments.source(of: scale) != .user
    {
      refuse(
        "rotary-scaling",
        "\(scale) is \(value), but Megatron's own scripts build the model with 8 whatever it "
          + "says: --set \(scale)=8 or --set \(scale)=\(value) settles it")
    }
    if let table = facts.rotaryTable {
      if table.dtype != "float32" {
        refuse(
          "rotary-precision",
          "the angles beside the weights are \(table.dtype): they were rounded before they were "
            + "used, which \(title) does not do")
      } else if table.base == nil {
        refuse(
          "positions", "the angles beside the weights follow no base, as those of \(title) do")
      }
    }
    if arguments.has(.dsSequenceParallelFpdt),
      try arguments.int(.dsSequenceParallelSize) ?? 1 <= 1,
      try arguments.bool(ArgumentKey("force_ds_sequence_parallel")) != true
    {
      refuse(
        "fpdt",
        "the arguments have ds_sequence_parallel_fpdt, so Megatron-DeepSpeed from 2024-12-04 on "
          + "trained it, which turned queries and keys by the cosine of the angle")
    }
  }
}
