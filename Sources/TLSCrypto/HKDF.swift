/// HKDF (RFC 5869), and TLS 1.3's use of it (RFC 8446 §7.1).
///
/// Outputs go into memory of the caller's, who knows whether they are secret. What is computed on the way is erased.
public enum HKDF {
    /// HKDF-Extract.
    ///
    /// - Parameters:
    ///   - salt: empty stands for zeros.
    ///   - output: the pseudorandom key, one digest long.
    public static func extract(
        _ hash: HashAlgorithm, salt: UnsafeRawBufferPointer, keyMaterial: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) {
        precondition(output.count == hash.length)
        hash.authenticate(keyMaterial, key: salt, into: output)
    }

    /// HKDF-Expand.
    ///
    /// - Parameters:
    ///   - key: the pseudorandom key.
    ///   - output: at most 255 digests (RFC 5869 §2.3).
    public static func expand(
        _ hash: HashAlgorithm, key: UnsafeRawBufferPointer, info: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) {
        precondition(output.count <= 255 * hash.length, "more than HKDF gives")
        // T(i-1) || info || i
        withUnsafeTemporaryAllocation(byteCount: 2 * hash.length + info.count + 1, alignment: 8) { scratch in
            defer { SecretMemory.erase(scratch) }
            let block = UnsafeMutableRawBufferPointer(rebasing: scratch[..<hash.length])
            let input = UnsafeMutableRawBufferPointer(rebasing: scratch[hash.length...])
            UnsafeMutableRawBufferPointer(rebasing: input[hash.length...]).copyMemory(from: info)
            var filled = 0
            var counter: UInt8 = 0
            while filled < output.count {
                counter += 1
                input[input.count - 1] = counter
                // The first block has no predecessor.
                let message = UnsafeRawBufferPointer(rebasing: input[(counter == 1 ? hash.length : 0)...])
                hash.authenticate(message, key: key, into: block)
                let count: Int = min(hash.length, output.count - filled)
                UnsafeMutableRawBufferPointer(rebasing: output[filled...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: block[..<count]))
                input.copyMemory(from: UnsafeRawBufferPointer(block))
                filled += count
            }
        }
    }

    /// HKDF-Expand-Label (RFC 8446 §7.1).
    ///
    /// - Parameters:
    ///   - label: without the prefix "tls13 "; at most 249 bytes, and the labels of the RFC are far shorter.
    ///   - context: at most 255 bytes.
    ///   - output: at most 255 digests; TLS takes no more than one.
    public static func expandLabel(
        _ hash: HashAlgorithm, secret: UnsafeRawBufferPointer, label: StaticString,
        context: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        into output: UnsafeMutableRawBufferPointer
    ) {
        let prefix: StaticString = "tls13 "
        let labelLength: Int = prefix.utf8CodeUnitCount + label.utf8CodeUnitCount
        precondition(labelLength <= 255 && context.count <= 255, "not a use of TLS")
        withUnsafeTemporaryAllocation(byteCount: 2 + 1 + labelLength + 1 + context.count, alignment: 8) { info in
            info[0] = UInt8(truncatingIfNeeded: output.count >> 8)
            info[1] = UInt8(truncatingIfNeeded: output.count)
            info[2] = UInt8(truncatingIfNeeded: labelLength)
            var end = 3
            for part in [prefix, label] {
                part.withUTF8Buffer {
                    UnsafeMutableRawBufferPointer(rebasing: info[end...]).copyMemory(from: UnsafeRawBufferPointer($0))
                }
                end += part.utf8CodeUnitCount
            }
            info[end] = UInt8(truncatingIfNeeded: context.count)
            UnsafeMutableRawBufferPointer(rebasing: info[(end + 1)...]).copyMemory(from: context)
            Self.expand(hash, key: secret, info: UnsafeRawBufferPointer(info), into: output)
        }
    }
}
