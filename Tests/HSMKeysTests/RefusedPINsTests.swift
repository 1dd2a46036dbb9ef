import Foundation
import Testing

@testable import HSMKeys

@Suite("PINs that are remembered as refused", .timeLimit(.minutes(2)))
struct RefusedPINsTests {
    private static let token = PINGate.Token(label: "bank", serial: "1")

    @Test("A bounded number for each token, the latest; what was not judged is taken back")
    func lines() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "refused-pins-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let refused = RefusedPINs(path: path)
        let other = PINGate.Token(label: "bank", serial: "2")
        _ = try refused.note([1], other)
        for pin in 1...UInt8(PINGate.most + 1) { _ = try refused.note([pin], Self.token) }
        func count() throws -> Int {
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").count
        }
        #expect(try count() == PINGate.most + 1)
        #expect(try !refused.contains([1], Self.token))
        #expect(try refused.contains([2], Self.token))
        try refused.clear(Self.token)
        #expect(try count() == 1)
        _ = try refused.note([2], Self.token)
        let note = try refused.note([3], Self.token)
        try refused.takeBack(note)
        #expect(try refused.contains([2], Self.token))
        #expect(try !refused.contains([3], Self.token))
        #expect(try refused.contains([1], other))
    }
}
