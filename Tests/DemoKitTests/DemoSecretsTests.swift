import Crypto
import FoundationEssentials
import PrivateAuthority
import Testing

@testable import DemoKit

@Suite struct DemoSecretsTests {
    @Test(arguments: SiteKeyType.allCases)
    func keysAreTakenApart(type: SiteKeyType) throws {
        let issued = try TestSiteAuthority(name: "Root").issueSite(domains: ["www.example.test"], keyType: type)
        let secrets = try SiteSecrets(pkcs8PEM: issued.keyPEM)
        switch type {
        case .p256:
            let key = try P256.Signing.PrivateKey(pemRepresentation: issued.keyPEM)
            #expect(secrets.parts == [.init(name: "d", bytes: Array(key.rawRepresentation))])
            #expect(secrets.pemLines.count == 1)
        case .rsa2048:
            #expect(secrets.parts.map(\.name) == ["d", "p", "q", "dP", "dQ", "qInv"])
            #expect(secrets.parts[0].bytes.count > 200)
            #expect(secrets.parts.dropFirst().allSatisfy { (100...128).contains($0.bytes.count) })
            #expect(secrets.pemLines.count > 15)
        case .ed25519:
            let seed = try #require(secrets.parts.first { $0.name == "seed" }?.bytes)
            #expect(try Curve25519.Signing.PrivateKey(rawRepresentation: seed).publicKey.rawRepresentation.count == 32)
            #expect(secrets.parts.map(\.bytes.count) == [32, 32, 32])
            #expect(secrets.pemLines.count == 1)
        }
    }

    @Test func publicLinesOfTheFileAreNotSecret() throws {
        let issued = try TestSiteAuthority(name: "Root").issueSite(domains: ["www.example.test"], keyType: .rsa2048)
        let secrets = try SiteSecrets(pkcs8PEM: issued.keyPEM)
        // The first lines hold the modulus, which every certificate has too.
        let lines = issued.keyPEM.split(separator: "\n").dropFirst().map { Array($0.utf8) }
        #expect(!secrets.pemLines.contains(lines[0]))
        #expect(!secrets.pemLines.contains(lines[3]))
        #expect(secrets.pemLines.contains(lines[12]))
    }

    @Test func garbageIsNoKey() {
        #expect(throws: (any Error).self) { try SiteSecrets(pkcs8PEM: "nothing") }
    }

    /// At every place relative to the windows, and across every border between two chunks.
    @Test func occurrencesAreCountedOnceWhereverTheyAre() {
        let needle: [UInt8] = (0..<40).map { UInt8($0 * 5 + 1) }
        for start in 0..<70 {
            var memory: [UInt8] = Array(repeating: 0, count: 128)
            memory.replaceSubrange(start..<start + needle.count, with: needle)
            for border in 1..<128 {
                var search = MemorySearch(patterns: [.init(key: 0, part: "d", form: .bigEndian, bytes: needle)])
                memory[..<border].withUnsafeBytes { search.search($0, repeated: 0) }
                let carried = min(search.overlap, border)
                memory[(border - carried)...].withUnsafeBytes { search.search($0, repeated: carried) }
                #expect(search.count(key: 0) == 1, "at \(start), border \(border)")
            }
        }
    }

    @Test func formsAreToldApart() throws {
        let issued = try TestSiteAuthority(name: "Root").issueSite(domains: ["www.example.test"], keyType: .p256)
        let secrets = try SiteSecrets(pkcs8PEM: issued.keyPEM)
        let d = secrets.parts[0].bytes
        var search = MemorySearch(keys: [secrets])
        let memory: [UInt8] = [1, 2, 3] + d + [4] + d.reversed() + d.reversed() + Array(issued.keyPEM.utf8)
        memory.withUnsafeBytes { search.search($0, repeated: 0) }
        #expect(search.count(key: 0, form: .bigEndian) == 1)
        #expect(search.count(key: 0, form: .littleEndian) == 2)
        #expect(search.count(key: 0, form: .pem) == 1)
        #expect(search.count(key: 0) == 4)
    }

    @Test func mappingsAreRead() throws {
        let heap = try #require(
            ProcessMemory.Region(line: "55d0-55f0 rw-p 00000000 00:00 0                          [heap]"))
        #expect(heap.range == 0x55d0..<0x55f0)
        #expect(heap.isReadable && heap.name == "[heap]" && !heap.belongsToKernel)
        let guardPage = try #require(ProcessMemory.Region(line: "7f00-7f10 ---p 00000000 00:00 0 "))
        #expect(!guardPage.isReadable && guardPage.name.isEmpty)
        #expect(ProcessMemory.Region(line: "nonsense") == nil)
        #expect(try #require(ProcessMemory.Region(line: "7f00-7f10 r--p 0 00:00 0 [vvar]")).belongsToKernel)
    }

    @Test func aProcessThatIsNotThereIsNotCalledClean() {
        var search = MemorySearch(patterns: [])
        #expect(throws: ProcessMemory.Failure.gone) { try ProcessMemory.search(pid: Int32.max, with: &search) }
    }
}
