import Foundation
import PrivateAuthority
import Stapling
import TLSEngine
import TestSockets
import Testing

@Suite(.timeLimit(.minutes(2))) struct StapleFilesTests {
    private static let authority = Result { try TestSiteAuthority(name: "test") }

    private struct Site {
        var chain: String
        var leaf: [UInt8]
    }

    private static func site(_ name: String) throws -> Site {
        let issued = try self.authority.get().issueSite(domains: [name], keyType: .p256)
        let text = issued.chainPEM
        let body = text.components(separatedBy: "-----")[2].split(whereSeparator: \.isWhitespace).joined()
        return Site(chain: text, leaf: Array(try #require(Data(base64Encoded: body))))
    }

    private static func response(for site: Site, _ status: TestOCSP.Status = .good) throws -> [UInt8] {
        let authority = try self.authority.get()
        return try TestOCSP.response(
            for: site.chain, issuer: authority.certificatePEM, issuerKey: authority.keyPEM, status: status)
    }

    private static var now: Int64 { Int64(Date().timeIntervalSince1970) }

    @Test func aResponseIsOfOneCertificateAndForATime() throws {
        let (own, other) = (try Self.site("a.test"), try Self.site("b.test"))
        let response = try Self.response(for: own)
        let staple = try OCSPStaple(response, for: own.leaf)
        #expect(staple.response == response)
        #expect(try OCSPStaple(response, for: nil) == staple)
        let end = try #require(staple.nextUpdate)
        #expect(abs(staple.thisUpdate - Self.now) < 120)
        #expect(end - staple.thisUpdate == 86_400)
        #expect(staple.problem(at: Self.now) == nil)
        #expect(staple.problem(at: end - 1) == nil)
        #expect(staple.problem(at: end) == .expired(end))
        // Clocks differ, by some minutes at most.
        #expect(staple.problem(at: staple.thisUpdate - 299) == nil)
        #expect(staple.problem(at: staple.thisUpdate - 301) == .early(staple.thisUpdate))
        #expect(throws: OCSPStaple.Problem.otherCertificate) { try OCSPStaple(response, for: other.leaf) }
        let revoked = try Self.response(for: own, .revoked)
        #expect(throws: OCSPStaple.Problem.revoked) { try OCSPStaple(revoked, for: own.leaf) }
    }

    /// A certificate of another authority may have the same number.
    @Test func theIssuersNameCounts() throws {
        let own = try Self.site("a.test")
        let response = try Self.response(for: own)
        var renamed = own.leaf
        // The issuer's common name, "test".
        let name = try #require(renamed.indices.first { renamed[$0...].starts(with: Array("test".utf8)) })
        renamed[name] = UInt8(ascii: "b")
        #expect(throws: OCSPStaple.Problem.otherCertificate) { try OCSPStaple(response, for: renamed) }
    }

    @Test func whatIsNoResponseIsNotShown() throws {
        let own = try Self.site("a.test")
        let response = try Self.response(for: own)
        #expect(throws: OCSPStaple.Problem.unsuccessful(3)) { try OCSPStaple([0x30, 3, 0x0A, 1, 3], for: own.leaf) }
        #expect(throws: OCSPStaple.Problem.malformed) { try OCSPStaple([], for: own.leaf) }
        let large = [UInt8](repeating: 0x30, count: OCSPStaple.maximumBytes + 1)
        #expect(throws: OCSPStaple.Problem.tooLarge(large.count)) { try OCSPStaple(large, for: own.leaf) }
        for length in 0..<response.count {
            #expect(throws: OCSPStaple.Problem.self) { try OCSPStaple(Array(response[..<length]), for: own.leaf) }
        }
        // Whatever a byte is changed to, it ends.
        for index in response.indices {
            var altered = response
            altered[index] ^= 0x55
            _ = try? OCSPStaple(altered, for: own.leaf)
        }
    }

    @Test func filesAreReadWhenTheyChange() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "staples-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (one, two) = (try Self.site("a.test"), try Self.site("b.test"))
        let paths = ["one", "two"].map { directory.appending(path: $0).path }
        let files = StapleFiles(paths)
        files.read()
        #expect(files.find(for: one.leaf, now: Self.now).reason?.contains("No such file") == true)
        // In any order: each says for which certificate it is.
        let answer = try Self.response(for: one)
        try Data(answer).write(to: URL(filePath: paths[1]))
        try Data(try Self.response(for: two)).write(to: URL(filePath: paths[0]))
        files.read()
        #expect(files.find(for: one.leaf, now: Self.now).response == answer)
        #expect(files.find(for: two.leaf, now: Self.now).response != nil)
        #expect(files.find(for: one.leaf, now: Self.now + 2 * 86_400).reason?.contains("was good until") == true)
        // A good one counts wherever it stands.
        let bad = directory.appending(path: "bad").path
        try Data(try Self.response(for: one, .revoked)).write(to: URL(filePath: bad))
        let late = directory.appending(path: "late").path
        // Its times, years ago.
        var old = answer
        for index in old.indices.dropLast(5) where old[index...].starts(with: [0x18, 0x0F]) {
            old.replaceSubrange((index + 2)..<(index + 6), with: Array("2020".utf8))
        }
        try Data(old).write(to: URL(filePath: late))
        let several = StapleFiles([bad, late, paths[1]])
        several.read()
        #expect(StapleFiles([late]).find(for: one.leaf, now: Self.now).response == nil)
        #expect(several.find(for: one.leaf, now: Self.now).response == answer)
        try Data("nothing".utf8).write(to: URL(filePath: paths[1]))
        files.read()
        #expect(files.find(for: one.leaf, now: Self.now).reason == "\(paths[1]): \(OCSPStaple.Problem.malformed)")
        try Data(count: OCSPStaple.maximumBytes + 1).write(to: URL(filePath: paths[1]))
        files.read()
        #expect(files.find(for: one.leaf, now: Self.now).reason?.contains("larger than") == true)
        #expect(StapleFiles([]).find(for: one.leaf, now: Self.now) == .none)
    }
}
