public import JSON

/// How transformers reads and names a model of a family.
public struct ModelFormat: Sendable {
  /// A field of `config.json`.
  public struct Field: Hashable, Sendable {
    /// The kinds of values that transformers 5 accepts in a field, or that other consumers need.
    public enum Kind: Hashable, Sendable {
      case size, real, truth, text, token
      /// The name of a function that transformers knows (`transformers/activations.py`).
      case activation
    }

    public let key: String
    public let kind: Kind
    public let isNeeded: Bool

    /// A field.
    public init(_ key: String, _ kind: Kind, needed: Bool = false) {
      self.key = key
      self.kind = kind
      isNeeded = needed
    }
  }

  /// What people call the family.
  public let title: String
  /// `model_type` of `config.json`.
  public let modelType: String
  /// The class of a causal language model.
  public let className: String
  /// What the names of all tensors but the head begin with.
  public let prefix: String
  /// What the names of a block's tensors begin with after the prefix.
  public let blocks: String
  /// The tensors that are asked for by themselves, without the prefix.
  public let embedding: String
  public let head: String
  /// The fields of `config.json` that are checked.
  public let fields: [Field]
  /// Other names that transformers accepts for fields, and the family's own.
  public let aliases: [String: String]
  /// The fields that a part of the function depends on, in the order in which they are compared.
  public let functionFields: [String]
  /// What transformers takes for those that are missing.
  public let defaults: JSONObject

  /// A format.
  public init(
    title: String, modelType: String, className: String, prefix: String, blocks: String,
    embedding: String, head: String, fields: [Field], aliases: [String: String] = [:],
    functionFields: [String], defaults: JSONObject = JSONObject()
  ) {
    self.title = title
    self.modelType = modelType
    self.className = className
    self.prefix = prefix
    self.blocks = blocks
    self.embedding = embedding
    self.head = head
    self.fields = fields
    self.aliases = aliases
    self.functionFields = functionFields
    self.defaults = defaults
  }

  /// The full name of a tensor.
  public func name(_ target: String, _ style: KeyStyle = .transformer) -> String {
    // The head is not a part of the module that the prefix names.
    style == .bare || target == head ? target : prefix + target
  }
}
