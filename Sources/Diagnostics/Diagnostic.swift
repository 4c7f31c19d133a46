/// What was found, where, and what helps: an error, a warning, a finding about an output, or the
/// reason why a model is refused.
public struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
  /// Which rule is broken, or what is worth knowing.
  public let code: Code
  /// What was found and what was expected.
  public let message: String
  /// The file that is meant, as the user would write its path.
  public var file: String?
  /// The tensor that is meant.
  public var tensor: String?
  /// The byte offset in the file.
  public var offset: Int?
  /// The flag that helps, or what else to do.
  public var hint: String?

  /// A diagnostic with its place, as far as it has one.
  public init(
    _ code: Code, _ message: String, file: String? = nil, tensor: String? = nil,
    offset: Int? = nil, hint: String? = nil
  ) {
    self.code = code
    self.message = message
    self.file = file
    self.tensor = tensor
    self.offset = offset
    self.hint = hint
  }

  /// The place and the message, without code and hint.
  public var description: String {
    var place: [String] = []
    if let file { place.append(file) }
    if let tensor { place.append("tensor \(tensor)") }
    if let offset { place.append("byte \(offset)") }
    return place.isEmpty ? message : "\(place.joined(separator: ", ")): \(message)"
  }
}

extension Diagnostic {
  /// What kind of thing went wrong. The command has an exit status for each kind.
  public enum Kind: Hashable, Sendable, CaseIterable {
    /// Nothing: the user should know it although it stops nothing.
    case note
    /// An output breaks a rule.
    case fault
    /// The command line makes no sense.
    case usage
    /// The input is malformed or contradicts itself.
    case malformed
    /// The input is missing or cannot be opened.
    case noInput
    /// A model, or a feature of a file, that is not converted.
    case unsupported
    /// A mistake of this program.
    case bug
    /// The output exists or cannot be created.
    case cannotCreate
    /// Reading or writing failed on the way.
    case inputOutput
    /// The same call may succeed later.
    case tryAgain
    /// Arguments contradict the tensors, or leave open what only a flag can settle.
    case undecided
  }

  /// The name of a diagnostic, `area/kind`, which is the same in every release.
  ///
  /// Two codes are equal if they have the same name: a file that cannot be opened has one code,
  /// whether it was to be read or written.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public let kind: Kind

    public init(_ name: String, _ kind: Kind) {
      self.name = name
      self.kind = kind
    }

    public var description: String { name }

    public static func == (a: Code, b: Code) -> Bool { a.name == b.name }

    public func hash(into hasher: inout Hasher) { hasher.combine(name) }
  }
}
