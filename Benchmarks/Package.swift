// swift-tools-version: 6.2
import PackageDescription

// How fast the kernels are: `swift run -c release --package-path Benchmarks`.
let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "meg2hf", path: "..")],
  targets: [
    .executableTarget(name: "Kernels", dependencies: [.product(name: "ByteIO", package: "meg2hf")])
  ],
  swiftLanguageModes: [.v6]
)
