// swift-tools-version: 6.2
import PackageDescription

// A package that uses the libraries as any other does: through their public doors.
let package = Package(
  name: "Client",
  dependencies: [.package(name: "meg2hf", path: "../..")],
  targets: [
    .executableTarget(
      name: "Client",
      dependencies: [
        "Pickle", "TorchArchive", "Safetensors", "Conversion", "EventLog", "LaunchScript",
      ].map {
        .product(name: $0, package: "meg2hf")
      })
  ],
  swiftLanguageModes: [.v6]
)
