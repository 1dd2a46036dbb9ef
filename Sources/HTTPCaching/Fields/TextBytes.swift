#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Texts compared as the bytes that they are on the wire.
///
/// `String` compares by canonical equivalence: U+212A equals `K`, and U+037E equals `;`. Whoever chooses what is served
/// by such a comparison serves one resource for another.
enum TextBytes {
    static func same(_ one: String, _ other: String) -> Bool {
        let fast = one.utf8.withContiguousStorageIfAvailable { first in
            other.utf8.withContiguousStorageIfAvailable { second in
                guard first.count == second.count else { return false }
                guard let a = first.baseAddress, let b = second.baseAddress else { return true }
                return memcmp(a, b, first.count) == 0
            }
        }
        // Native strings, which all of ours are, have contiguous bytes.
        if case .some(.some(let isSame)) = fast { return isSame }
        return one.utf8.elementsEqual(other.utf8)
    }

    static func same(_ one: String?, _ other: String?) -> Bool {
        switch (one, other) {
        case (nil, nil): true
        case (let one?, let other?): Self.same(one, other)
        default: false
        }
    }

    /// With an end mark, so that texts hashed one after the other keep their bounds.
    static func hash(_ text: String, into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable { bytes in
            hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
        }
        if done == nil {
            for byte in text.utf8 { hasher.combine(byte) }
        }
        hasher.combine(0xFF as UInt8)
    }
}
