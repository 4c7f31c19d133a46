// swift-tools-version: 6.2
import PackageDescription

// How fast the kernels are: `swift run -c release --package-path Benchmarks`.
let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "meg2hf", path: "..")],
  targets: [
    // ByteIO is measured. It is not a product; the Pickle product pulls it in.
    .executableTarget(name: "Kernels", dependencies: [.product(name: "Pickle", package: "meg2hf")])
  ],
  swiftLanguageModes: [.v6]
)
