/// The instructions of pickle protocols 0 to 5, by the names of CPython's `pickletools`.
///
/// `EXT1`, `EXT2`, `EXT4` (the copyreg extension registry), `NEXT_BUFFER`, `READONLY_BUFFER`
/// (out-of-band data) and `PERSID` (a text that names something outside) are known by name only:
/// they refer to what a file cannot contain.
enum Opcode: UInt8 {
  // Protocol 0
  case mark = 0x28  // (
  case stop = 0x2E  // .
  case pop = 0x30  // 0
  case popMark = 0x31  // 1
  case dup = 0x32  // 2
  case float = 0x46  // F   decimal line
  case int = 0x49  // I   decimal line; I00 and I01 are booleans
  case long = 0x4C  // L   decimal line with a trailing L
  case none = 0x4E  // N
  case persid = 0x50  // P   line
  case reduce = 0x52  // R
  case string = 0x53  // S   quoted line
  case unicode = 0x56  // V   line, raw-unicode-escape
  case append = 0x61  // a
  case build = 0x62  // b
  case global = 0x63  // c   two lines
  case dict = 0x64  // d
  case get = 0x67  // g   decimal line
  case inst = 0x69  // i   two lines
  case list = 0x6C  // l
  case put = 0x70  // p   decimal line
  case setItem = 0x73  // s
  case tuple = 0x74  // t
  // Protocol 1
  case emptyTuple = 0x29  // )
  case binFloat = 0x47  // G   8 bytes, big-endian
  case binInt = 0x4A  // J   4 bytes, signed
  case binInt1 = 0x4B  // K   1 byte
  case binInt2 = 0x4D  // M   2 bytes
  case binPersid = 0x51  // Q
  case binString = 0x54  // T   4 bytes of length, signed
  case shortBinString = 0x55  // U   1 byte of length
  case binUnicode = 0x58  // X   4 bytes of length
  case emptyList = 0x5D  // ]
  case appends = 0x65  // e
  case binGet = 0x68  // h   1 byte
  case longBinGet = 0x6A  // j   4 bytes
  case obj = 0x6F  // o
  case binPut = 0x71  // q   1 byte
  case longBinPut = 0x72  // r   4 bytes
  case setItems = 0x75  // u
  case emptyDict = 0x7D  // }
  // Protocol 2
  case proto = 0x80  // 1 byte
  case newObj = 0x81
  case ext1 = 0x82
  case ext2 = 0x83
  case ext4 = 0x84
  case tuple1 = 0x85
  case tuple2 = 0x86
  case tuple3 = 0x87
  case newTrue = 0x88
  case newFalse = 0x89
  case long1 = 0x8A  // 1 byte of length
  case long4 = 0x8B  // 4 bytes of length, signed
  // Protocol 3
  case binBytes = 0x42  // B   4 bytes of length
  case shortBinBytes = 0x43  // C   1 byte of length
  // Protocol 4
  case shortBinUnicode = 0x8C  // 1 byte of length
  case binUnicode8 = 0x8D  // 8 bytes of length
  case binBytes8 = 0x8E  // 8 bytes of length
  case emptySet = 0x8F
  case addItems = 0x90
  case frozenSet = 0x91
  case newObjEx = 0x92
  case stackGlobal = 0x93
  case memoize = 0x94
  case frame = 0x95  // 8 bytes of length
  // Protocol 5
  case byteArray8 = 0x96  // 8 bytes of length
  case nextBuffer = 0x97
  case readonlyBuffer = 0x98
}
