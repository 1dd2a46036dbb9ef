#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Looks for many byte strings in a stream of chunks, and counts how often each occurs.
struct MemorySearch: Sendable {
    /// The forms in which a secret can stand in memory.
    enum Form: String, Sendable, CaseIterable {
        /// As the key file has it, which is also how most code passes numbers around.
        case bigEndian = "big endian"
        /// As TLS libraries keep numbers for arithmetic: limbs, the lowest first.
        case littleEndian = "little endian"
        /// As text of the key file.
        case pem = "PEM text"
    }

    struct Pattern: Sendable {
        /// Which key it belongs to, by index.
        var key: Int
        var part: String
        var form: Form
        var bytes: [UInt8]
    }

    let patterns: [Pattern]
    /// How often each pattern was found so far.
    private(set) var hits: [Int]
    private let longest: Int

    // One pass for all patterns: wherever a pattern stands, one of its first 16 windows of 8 bytes lies on a multiple of 16.
    // So only every 16th position is looked at, and its 8 bytes looked up among all those windows.
    private static let stride = 16
    /// A pattern needs a whole window from each of 16 beginnings.
    private static let shortest = stride + 7
    /// Which pattern, and from which of its bytes.
    private var windows: [UInt64: [(pattern: Int, offset: Int)]] = [:]
    /// A bit for every 16-bit hash that some window has: most positions end here.
    private var filter: [UInt64] = Array(repeating: 0, count: 1024)

    init(keys: [SiteSecrets]) {
        var patterns: [Pattern] = []
        for (index, secrets) in keys.enumerated() {
            for part in secrets.parts {
                patterns.append(Pattern(key: index, part: part.name, form: .bigEndian, bytes: part.bytes))
                patterns.append(
                    Pattern(key: index, part: part.name, form: .littleEndian, bytes: part.bytes.reversed()))
            }
            for line in secrets.pemLines {
                patterns.append(Pattern(key: index, part: "file", form: .pem, bytes: line))
            }
        }
        self.init(patterns: patterns)
    }

    /// - Parameter patterns: those shorter than 23 bytes are left out; whole secrets are longer.
    init(patterns: [Pattern]) {
        self.patterns = patterns.filter { $0.bytes.count >= Self.shortest }
        self.hits = Array(repeating: 0, count: self.patterns.count)
        self.longest = self.patterns.map(\.bytes.count).max() ?? 1
        for (index, pattern) in self.patterns.enumerated() {
            for offset in 0..<Self.stride {
                let window = pattern.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
                windows[window, default: []].append((index, offset))
                let hash = Self.hash(window)
                filter[hash >> 6] |= 1 << UInt64(hash & 63)
            }
        }
    }

    private static func hash(_ window: UInt64) -> Int {
        Int(truncatingIfNeeded: (window &* 0x9E37_79B9_7F4A_7C15) >> 48)
    }

    /// How many bytes of a chunk the next one must begin with again, so that nothing on the border is missed.
    var overlap: Int { longest - 1 }

    /// Counts the occurrences in `bytes` that end after its first `repeated` bytes; those were counted with the chunk before.
    mutating func search(_ bytes: UnsafeRawBufferPointer, repeated: Int) {
        guard let base = bytes.baseAddress, bytes.count >= 8 else { return }
        for position in candidates(base, count: bytes.count) {
            let window = base.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            for (index, offset) in windows[window] ?? [] {
                let pattern = patterns[index].bytes
                let start = position - offset
                guard start >= 0, start + pattern.count <= bytes.count, start + pattern.count > repeated,
                    memcmp(base + start, pattern, pattern.count) == 0
                else { continue }
                hits[index] += 1
            }
        }
    }

    /// The positions whose window passes the filter. Written plainly, since it sees every mapping of a process and the demo
    /// is also run in debug builds.
    private func candidates(_ base: UnsafeRawPointer, count: Int) -> [Int] {
        var found: [Int] = []
        filter.withUnsafeBufferPointer { filter in
            var position = 0
            while position <= count - 8 {
                let window = base.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                // Empty memory is common, and no secret.
                if window != 0 {
                    let hash = Self.hash(window)
                    if filter[hash >> 6] & (1 << UInt64(hash & 63)) != 0 { found.append(position) }
                }
                position += Self.stride
            }
        }
        return found
    }

    /// All hits of one key, by form.
    func count(key: Int, form: Form) -> Int {
        var sum = 0
        for (index, pattern) in patterns.enumerated() where pattern.key == key && pattern.form == form {
            sum += hits[index]
        }
        return sum
    }

    func count(key: Int) -> Int {
        Form.allCases.reduce(0) { $0 + count(key: key, form: $1) }
    }

    /// Which parts of a key were found in any form.
    func partsFound(key: Int) -> [String] {
        var names: [String] = []
        for (index, pattern) in patterns.enumerated() where pattern.key == key && hits[index] > 0 {
            if !names.contains(pattern.part) { names.append(pattern.part) }
        }
        return names
    }
}
