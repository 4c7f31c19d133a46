/// Text inside of HTML and SVG.
enum Markup {
  /// A text with its markup characters as entities, and a space for each control character: XML
  /// does not allow them.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default:
        result += character.unicodeScalars.allSatisfy { $0.value >= 32 } ? String(character) : " "
      }
    }
    return result
  }
}
