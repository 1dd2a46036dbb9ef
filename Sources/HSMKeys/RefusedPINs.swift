import Crypto
import SecretFiles
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// PINs that tokens refused, over restarts: a service that is started again and again by its supervisor must not lock its token.
///
/// A file under the rule for secrets, one line for each token: label, serial number, a salt and a keyed hash of the PIN, all in
/// hexadecimal. It is read at each look: it is seldom needed, and small.
final class RefusedPINs: Sendable {
    private let path: String
    private let turn = Mutex(())

    init(path: String) {
        self.path = path
    }

    private struct Line {
        var token: String
        var salt: [UInt8]
        var hash: [UInt8]

        var text: String { "\(self.token) \(Self.hexadecimal(self.salt)) \(Self.hexadecimal(self.hash))\n" }

        init(_ pin: [UInt8], _ token: PINGate.Token) {
            self.token = Self.name(token)
            self.salt = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
            self.hash = Self.hash(pin, self.salt)
        }

        init?(_ text: Substring) {
            let words = text.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 4, let salt = Self.bytes(words[2]), let hash = Self.bytes(words[3]) else { return nil }
            self.token = "\(words[0]) \(words[1])"
            self.salt = salt
            self.hash = hash
        }

        func isOf(_ pin: [UInt8]) -> Bool { Self.hash(pin, self.salt) == self.hash }

        static func name(_ token: PINGate.Token) -> String {
            "\(Self.hexadecimal(Array(token.label.utf8))) \(Self.hexadecimal(Array(token.serial.utf8)))"
        }

        private static func hash(_ pin: [UInt8], _ salt: [UInt8]) -> [UInt8] {
            Array(HMAC<SHA256>.authenticationCode(for: pin, using: SymmetricKey(data: salt)))
        }

        private static func hexadecimal(_ bytes: [UInt8]) -> String {
            bytes.isEmpty ? "-" : bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }

        private static func bytes(_ text: Substring) -> [UInt8]? {
            let digits = text.compactMap { $0.isASCII ? $0.hexDigitValue : nil }
            guard digits.count == text.count, digits.count % 2 == 0 else { return nil }
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        }
    }

    func contains(_ pin: [UInt8], _ token: PINGate.Token) throws(HSMError) -> Bool {
        let name = Line.name(token)
        return try self.read().contains { $0.token == name && $0.isOf(pin) }
    }

    /// - Parameter pin: nil: the token takes its PIN again.
    func note(_ pin: [UInt8]?, _ token: PINGate.Token) throws(HSMError) {
        let result: Result<Void, HSMError> = self.turn.withLock { _ in
            Result { () throws(HSMError) in try self.change(pin, token) }
        }
        try result.get()
    }

    private func change(_ pin: [UInt8]?, _ token: PINGate.Token) throws(HSMError) {
        let name = Line.name(token)
        let before = try self.read()
        var lines = before.filter { $0.token != name }
        guard pin != nil || lines.count != before.count else { return }
        if let pin { lines.append(Line(pin, token)) }
        do throws(SecretFile.WriteError) {
            try SecretFile.write(lines.map(\.text).joined(), to: self.path)
        } catch {
            throw .memory("\(error)")
        }
    }

    private func read() throws(HSMError) -> [Line] {
        let text: String
        do throws(SecretFileError) {
            text = try SecretFile.read(self.path)
        } catch {
            if error.reason == .system(ENOENT) { return [] }
            throw .memory("\(error)")
        }
        var lines: [Line] = []
        for part in text.split(separator: "\n") {
            guard let line = Line(part) else { throw .memory("\(self.path) has a line that is none; remove the file") }
            lines.append(line)
        }
        return lines
    }
}
