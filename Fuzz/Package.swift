// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that users of the libraries do not resolve it. Built by scripts/fuzz
// with the fuzzer and the address sanitizer.
let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "meg2hf", path: "..")],
  targets: [
    .executableTarget(
      name: "Fuzz",
      dependencies: [
        .product(name: "Pickle", package: "meg2hf"),
        .product(name: "TorchArchive", package: "meg2hf"),
        .product(name: "Safetensors", package: "meg2hf"),
        .product(name: "Conversion", package: "meg2hf"),
        .product(name: "DistributedCheckpoint", package: "meg2hf"),
        .product(name: "EventLog", package: "meg2hf"),
        .product(name: "LaunchScript", package: "meg2hf"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
