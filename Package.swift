// swift-tools-version: 6.2
import PackageDescription

// Every target is checked for memory safety, and no warning is let through. `unsafe` and C calls
// live in ByteIO alone, so that which lines can touch memory is a fact of the build.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// The site of the documentation alone needs the plug-in: nobody else shall have to fetch it.
let documentation: [Package.Dependency] =
  Context.environment["MEG2HF_DOCS"] == nil
  ? [] : [.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0")]

let package = Package(
  name: "meg2hf",
  products: [
    .executable(name: "meg2hf", targets: ["meg2hf"]),
    .library(name: "Pickle", targets: ["Pickle"]),
    .library(name: "TorchArchive", targets: ["TorchArchive"]),
    .library(name: "Safetensors", targets: ["Safetensors"]),
    .library(
      name: "DistributedCheckpoint",
      targets: ["DistributedCheckpoint", "TorchArchive", "Diagnostics"]),
    .library(name: "EventLog", targets: ["EventLog", "Diagnostics"]),
    .library(name: "LaunchScript", targets: ["LaunchScript", "Diagnostics"]),
    // With the targets whose types its own doors show.
    .library(
      name: "Conversion",
      targets: [
        "Conversion", "Megatron", "HuggingFace", "Architectures", "Transfer", "JSON", "Diagnostics",
        "EventLog", "LaunchScript",
      ]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ] + documentation,
  targets: [
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CNettle", pkgConfig: "nettle", providers: [.apt(["nettle-dev"])]),
    .systemLibrary(name: "CGlibc"),
    .systemLibrary(name: "CKernels"),
    .target(name: "Diagnostics", swiftSettings: settings),
    .target(
      name: "ByteIO",
      dependencies: [
        "Diagnostics", "CZlib", "CNettle", "CGlibc", "CKernels",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "JSON",
      dependencies: [
        "Diagnostics", "ByteIO", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(name: "Pickle", dependencies: ["ByteIO", "Diagnostics"], swiftSettings: settings),
    .target(
      name: "TorchArchive",
      dependencies: [
        "ByteIO", "Diagnostics", "Pickle",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "Safetensors",
      dependencies: [
        "ByteIO", "Diagnostics", "JSON", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "DistributedCheckpoint",
      dependencies: [
        "ByteIO", "Diagnostics", "JSON", "Pickle", "Safetensors", "TorchArchive",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "EventLog",
      dependencies: [
        "ByteIO", "Diagnostics", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "LaunchScript",
      dependencies: [
        "ByteIO", "Diagnostics", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "Transfer",
      dependencies: [
        "Diagnostics", "ByteIO", "TorchArchive", "Safetensors",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "Architectures", dependencies: ["Diagnostics", "JSON"], swiftSettings: settings),
    .target(
      name: "HuggingFace",
      dependencies: [
        "Architectures", "Diagnostics", "ByteIO", "JSON", "Safetensors", "TorchArchive", "Transfer",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "Megatron",
      dependencies: [
        "Architectures", "Diagnostics", "ByteIO", "DistributedCheckpoint", "JSON", "Pickle",
        "TorchArchive",
        .product(name: "OrderedCollections", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "Conversion",
      dependencies: [
        "Diagnostics", "DistributedCheckpoint", "ByteIO", "JSON", "Pickle", "TorchArchive",
        "Safetensors", "Transfer", "Architectures", "EventLog", "HuggingFace", "LaunchScript",
        "Megatron",
        .product(name: "OrderedCollections", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .target(
      name: "Inference",
      dependencies: [
        "Diagnostics", "ByteIO", "JSON", "Safetensors", "TorchArchive", "Transfer", "Architectures",
        "HuggingFace", "Megatron", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "meg2hf",
      dependencies: [
        "Architectures", "ByteIO", "Conversion", "Diagnostics", "DistributedCheckpoint", "EventLog",
        "HuggingFace", "Inference", "JSON", "LaunchScript", "Megatron", "Safetensors",
        "TorchArchive", "Transfer",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    // Writers of archives, pickles and dumps, and the command as a process; no product has it.
    .target(
      name: "TestSupport",
      dependencies: ["ByteIO", .product(name: "SystemPackage", package: "swift-system")],
      path: "Tests/TestSupport"),
    .testTarget(name: "ByteIOTests", dependencies: ["ByteIO", "CKernels", "TestSupport"]),
    .testTarget(name: "PickleTests", dependencies: ["Pickle", "TestSupport"]),
    .testTarget(
      name: "TorchArchiveTests",
      dependencies: ["TorchArchive", "Pickle", "ByteIO", "JSON", "Safetensors", "TestSupport"]),
    // The libraries through their public doors alone.
    .testTarget(
      name: "ClientTests",
      dependencies: [
        "Conversion", "DistributedCheckpoint", "EventLog", "LaunchScript", "Megatron", "Pickle",
        "Safetensors", "TorchArchive", "TestSupport",
      ]),
    .testTarget(
      name: "EventLogTests",
      dependencies: [
        "EventLog", "ByteIO", "Diagnostics", "JSON", "TestSupport",
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .testTarget(
      name: "LaunchScriptTests",
      dependencies: [
        "LaunchScript", "Diagnostics", "JSON", "TestSupport",
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .testTarget(name: "JSONTests", dependencies: ["JSON", "TestSupport"]),
    .testTarget(name: "SafetensorsTests", dependencies: ["Safetensors", "ByteIO", "TestSupport"]),
    .testTarget(
      name: "ConversionTests",
      dependencies: [
        "Architectures", "Conversion", "Diagnostics", "DistributedCheckpoint", "EventLog",
        "HuggingFace", "Inference",
        "Megatron", "Transfer", "TorchArchive", "Safetensors", "ByteIO",
        "JSON", "TestSupport",
      ]),
    // Compiles the targets of Fuzz/ too, which is a package of its own.
    .testTarget(
      name: "FuzzTests",
      dependencies: [
        "Conversion", "DistributedCheckpoint", "EventLog", "HuggingFace", "JSON", "LaunchScript",
        "Megatron", "Pickle", "Safetensors", "TorchArchive", "TestSupport",
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .testTarget(
      name: "CLITests", dependencies: ["meg2hf", "ByteIO", "JSON", "Safetensors", "TestSupport"]),
  ],
  swiftLanguageModes: [.v6]
)
