import Testing

@testable import RecordLayer

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

#if os(Linux)
    /// Secrets leave nothing where they were.
    @Suite struct ErasureTests {
        @Test func aReleasedSecretIsErased() throws {
            let pattern: [UInt8] = (0..<48).map { 0xA5 ^ ($0 &* 7) }
            var secrets: [Secret] = [Secret(pattern)]
            secrets.append(secrets[0])
            let address: Int = secrets[0].withUnsafeBytes { Int(bitPattern: $0.baseAddress) }
            secrets.removeFirst()
            // The control: while a copy lives, the bytes are there to be found.
            #expect(try Self.memory(at: address, count: 48) == pattern)
            secrets.removeAll()
            let left: [UInt8] = try Self.memory(at: address, count: 48)
            // The allocator may have written to it, even handed it out again; what was there is gone all the same.
            for start in stride(from: 0, to: 48, by: 8) {
                #expect(left[start..<start + 8] != pattern[start..<start + 8])
            }
        }

        /// This process's memory as the kernel sees it, so that no pointer is followed to what was freed.
        private static func memory(at address: Int, count: Int) throws -> [UInt8] {
            let descriptor: CInt = open("/proc/self/mem", O_RDONLY)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: count)
            try #require(pread(descriptor, &bytes, count, off_t(address)) == count)
            return bytes
        }
    }
#endif
