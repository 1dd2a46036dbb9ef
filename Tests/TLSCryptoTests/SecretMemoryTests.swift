import Testing

@testable import TLSCrypto

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite struct SecretMemoryTests {
    @Test func comparesWholeContents() {
        func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
            left.withUnsafeBytes { left in right.withUnsafeBytes { SecretMemory.areEqual(left, $0) } }
        }
        #expect(areEqual([], []))
        #expect(areEqual([1, 2, 3], [1, 2, 3]))
        #expect(!areEqual([1, 2, 3], [1, 2]))
        #expect(!areEqual([], [1]))
        for index in 0..<48 {
            var other = [UInt8](repeating: 7, count: 48)
            other[index] ^= 0x80
            #expect(!areEqual([UInt8](repeating: 7, count: 48), other))
        }
    }

    @Test func randomBytesDiffer() {
        var seen: Set<[UInt8]> = []
        for _ in 0..<100 {
            var bytes = [UInt8](repeating: 0, count: 16)
            bytes.withUnsafeMutableBytes { SecretMemory.randomize($0) }
            seen.insert(bytes)
        }
        #expect(seen.count == 100)
        SecretMemory.randomize(UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }

    #if os(Linux)
        /// A key that is released leaves nothing where it was.
        @Test(arguments: AEADAlgorithm.allCases)
        func aReleasedKeyIsErased(algorithm: AEADAlgorithm) throws {
            let bytes: [UInt8] = (0..<algorithm.keyLength).map { 0xA5 ^ (UInt8($0) &* 7) }
            let address: Int
            do {
                let key = AEADKey(algorithm, bytes)
                address = Int(bitPattern: key.context)
                // The control: while the key lives, its bytes are there to be found.
                #expect(Self.contains(try Self.memory(at: address, count: 564), bytes))
                _ = consume key
            }
            let left: [UInt8] = try Self.memory(at: address, count: 564)
            for start in stride(from: 0, to: bytes.count, by: 8) {
                #expect(!Self.contains(left, Array(bytes[start..<start + 8])))
            }
        }

        private static func contains(_ memory: [UInt8], _ pattern: [UInt8]) -> Bool {
            (0...(memory.count - pattern.count)).contains { memory[$0..<$0 + pattern.count].elementsEqual(pattern) }
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
    #endif
}
