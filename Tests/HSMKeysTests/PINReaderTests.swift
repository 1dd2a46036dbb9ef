import Foundation
import HSMWire
import Testing

@testable import HSMKeys

@Suite("PIN files")
struct PINReaderTests {
    /// With a line's end or without: `systemd-creds` and `printf` write none. What is returned outlives the wiping of what was read.
    @Test(arguments: ["1234", "1234\n", "1234\r\n", "1234\r"])
    func lineEnds(_ text: String) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("pin-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(
            FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]))
        #expect(try PINReader.read(.file(path)) == Array("1234".utf8))
    }

    /// Whether a login's failure may have been a try of the PIN.
    @Test func failuresThatJudgeNoPIN() {
        for code: UInt64 in [0x03, 0x32, 0xB0, 0xB3, 0xE0, 0xE1, 0x190] { #expect(TokenStatus.judgesNoPIN(code)) }
        for code: UInt64 in [0xA0, 0x05, 0x06, 0x30, 0x8000_0001] { #expect(!TokenStatus.judgesNoPIN(code)) }
    }
}
