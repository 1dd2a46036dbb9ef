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
        self.patterns = patterns
        self.hits = Array(repeating: 0, count: patterns.count)
        self.longest = patterns.map(\.bytes.count).max() ?? 1
    }

    /// How many bytes of a chunk the next one must begin with again, so that nothing on the border is missed.
    var overlap: Int { longest - 1 }

    /// Counts the occurrences in `bytes` that end after its first `repeated` bytes; those were counted with the chunk before.
    mutating func search(_ bytes: UnsafeRawBufferPointer, repeated: Int) {
        guard let base = bytes.baseAddress else { return }
        for (index, pattern) in patterns.enumerated() {
            pattern.bytes.withUnsafeBytes { needle in
                guard let needleBase = needle.baseAddress else { return }
                // A match that lies wholly in the repeated bytes has been counted.
                var start = max(0, repeated - needle.count + 1)
                while start + needle.count <= bytes.count,
                    let found = memmem(base + start, bytes.count - start, needleBase, needle.count)
                {
                    hits[index] += 1
                    start = UnsafeRawPointer(found) - base + 1
                }
            }
        }
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
