/// A number with a fixed number of decimal places.
package func decimal(_ value: Double, places: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "?" }
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  let scaled = Int((value * scale).rounded())
  guard places > 0 else { return "\(scaled)" }
  let digits = "\(abs(scaled))"
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
  return (scaled < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
}

/// A number with its digits in groups of three.
package func thousands(_ value: Int) -> String {
  var digits = "\(abs(value))"
  var groups: [String] = []
  while digits.count > 3 {
    groups.insert(String(digits.suffix(3)), at: 0)
    digits.removeLast(3)
  }
  groups.insert(digits, at: 0)
  return (value < 0 ? "-" : "") + groups.joined(separator: ",")
}

/// A number with the name of what it counts.
package func plural(_ count: Int, _ name: String, _ several: String? = nil) -> String {
  "\(count) \(count == 1 ? name : several ?? name + "s")"
}

/// A small number with two digits and a power of ten, as 4.8e-07.
package func scientific(_ value: Double) -> String {
  guard value > 0, value.isFinite else { return value == 0 ? "0" : "?" }
  var (mantissa, exponent) = (value, 0)
  while mantissa >= 9.95 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
  while mantissa < 0.995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
  let digits = "\(abs(exponent))"
  return decimal(mantissa, places: 1) + "e" + (exponent < 0 ? "-" : "+")
    + (digits.count < 2 ? "0" : "") + digits
}

/// A number with at most some significant digits, as C's `%g` writes it: 10.07, 0.0001, 2.5e-05.
package func significant(_ value: Double, digits count: Int = 4) -> String {
  guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity" }
  guard value != 0 else { return "0" }
  // The shortest decimal that is this number, as digits and the power of ten of the first one.
  let parts = "\(abs(value))".split(separator: "e")
  let mantissa = parts[0].split(separator: ".")
  var power = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + mantissa[0].count - 1
  var digits = mantissa.joined().compactMap(\.wholeNumberValue)
  while digits.count > 1, digits.first == 0 {
    digits.removeFirst()
    power -= 1
  }
  if digits.count > count {
    let isUp = digits[count] >= 5
    digits.removeSubrange(count...)
    if isUp {
      var place = count - 1
      while place >= 0, digits[place] == 9 {
        digits[place] = 0
        place -= 1
      }
      if place >= 0 {
        digits[place] += 1
      } else {
        digits.insert(1, at: 0)
        power += 1
      }
    }
  }
  while digits.count > 1, digits.last == 0 { digits.removeLast() }
  let text = digits.map { "\($0)" }.joined()
  let sign = value < 0 ? "-" : ""
  if power < -4 || power >= count {
    let exponent = "\(abs(power))"
    return sign + text.prefix(1) + (text.count > 1 ? "." : "") + text.dropFirst()
      + (power < 0 ? "e-" : "e+") + (exponent.count < 2 ? "0" : "") + exponent
  }
  if power < 0 { return sign + "0." + String(repeating: "0", count: -power - 1) + text }
  let whole = text.prefix(power + 1)
  let zeros = String(repeating: "0", count: power + 1 - whole.count)
  let rest = text.dropFirst(power + 1)
  return sign + whole + zeros + (rest.isEmpty ? "" : "." + rest)
}
