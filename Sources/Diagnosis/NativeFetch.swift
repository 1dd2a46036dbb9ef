public import NIOCore
public import NativeClient
import NativeHandshake

/// One request over a native stream: HTTP/1.0, so that the end of the stream is the end of the response.
public struct NativeFetch: Sendable {
    private let options: NativeOptions
    private let target: ClientTarget
    private let headOnly: Bool

    public init(options: NativeOptions, target: ClientTarget, headOnly: Bool) {
        self.options = options
        self.target = target
        self.headOnly = headOnly
    }

    /// The longest response head that is read.
    private static let maximumHead = 65_536

    /// - Parameter body: Gets the response's body, part by part.
    /// - Returns: the response's status.
    public func run(
        report: @escaping @Sendable (TimedNativeEvent) -> Void, head: @escaping @Sendable ([String]) -> Void,
        body: @escaping @Sendable (ByteBuffer) -> Void
    ) async throws(ClientFailure) -> Int {
        do {
            return try await NativeConnection.with(self.options, report: report) { connection in
                let method: String = self.headOnly ? "HEAD" : "GET"
                try await connection.send(
                    ByteBuffer(
                        string:
                            "\(method) \(self.target.requestTarget) HTTP/1.0\r\nHost: \(self.target.authority)\r\n"
                            + "User-Agent: latchstring\r\nAccept: */*\r\nConnection: close\r\n\r\n"))
                try await connection.finish()
                return try await Self.response(connection.bytes, head: head, body: body)
            }
        } catch let error as ConnectionFailure {
            throw ClientFailure(
                phase: error.isConnected ? .handshake : .connect, reason: error.reason,
                advice: error.isConnected ? "" : "is something listening there?")
        } catch let error as ResponseError {
            throw ClientFailure(phase: .response, reason: error.reason)
        } catch let error as NativeError {
            let advice: String
            if case .alert(let alert) = error { advice = Self.advice(alert) } else { advice = "" }
            throw ClientFailure(
                phase: error == .truncated ? .response : .handshake, reason: "\(error)", advice: advice)
        } catch {
            throw ClientFailure(phase: .response, reason: "\(error)")
        }
    }

    private struct ResponseError: Error {
        var reason: String
    }

    private static func response(
        _ bytes: NativeBytes, head: @Sendable ([String]) -> Void, body: @Sendable (ByteBuffer) -> Void
    ) async throws -> Int {
        var start = ByteBuffer()
        var status: Int?
        for try await part in bytes {
            if status != nil {
                body(part)
                continue
            }
            start.writeImmutableBuffer(part)
            guard let end = start.readableBytesView.firstRange(of: Array("\r\n\r\n".utf8)) else {
                guard start.readableBytes <= Self.maximumHead else {
                    throw ResponseError(reason: "the response's head is longer than \(Self.maximumHead) bytes")
                }
                continue
            }
            let text: String = start.readString(length: end.lowerBound - start.readerIndex) ?? ""
            start.moveReaderIndex(forwardBy: 4)
            let lines: [String] = text.split(separator: "\r\n").map { String($0) }
            let words: [Substring] = (lines.first ?? "").split(separator: " ")
            guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let code = Int(words[1]), (100...999).contains(code)
            else { throw ResponseError(reason: "what came back is no HTTP/1 response") }
            status = code
            head(lines)
            if start.readableBytes > 0 { body(start) }
        }
        guard let status else { throw ResponseError(reason: "the stream ended before a whole response head came") }
        return status
    }

    private static func advice(_ alert: NativeAlert) -> String {
        switch alert {
        case .unknownName: "the edge has no site of that name"
        case .notAllowed:
            "the site, or its key holder's grant to the edge, does not allow the native handshake, or not this variant"
        case .unavailable: "the edge reaches no key holder, or the key holder not the application behind it"
        case .busy: "too many handshakes at the key holder now; try again later"
        case .nothingInCommon: "no suite or kind of certificate key in common"
        default: ""
        }
    }
}

/// Writes native events to standard error, one line each, with milliseconds since the start.
public struct NativePrinter: Sendable {
    private let printer: ClientPrinter

    public init(printer: ClientPrinter) {
        self.printer = printer
    }

    public func print(_ event: TimedNativeEvent) {
        for (index, text) in Self.describe(event.event).enumerated() {
            self.printer.line(index == 0 ? event.time : nil, text)
        }
    }

    static func describe(_ event: NativeEvent) -> [String] {
        switch event {
        case .connected(let address): ["connected to \(address)"]
        case .step(let step): [Self.describe(step)]
        case .certificates(let chain):
            chain.enumerated().map {
                "   \($0.offset)  \(ClientPrinter.printable($0.element.subject)), \($0.element.keyType)"
            }
        case .chainVerified(let path):
            ["chain verified: validity, domain, and a path to \(ClientPrinter.printable(path.last?.subject ?? "?"))"]
        case .directoryAgrees: ["key directory has the same key"]
        case .directoryUnavailable(let why): ["went on without the key directory: \(why)"]
        case .established(let variant, let suite, let kind):
            ["handshake complete: \(variant), \(suite), \(kind)"]
        }
    }

    static func describe(_ step: NativeStep) -> String {
        switch step {
        case .helloMade(let nonce): "-> Hello: domain, nonce \(nonce)"
        case .helloRead(let variant, let name, let nonce): "read Hello: \(variant), \(name), nonce \(nonce)"
        case .certificateInformationMade(let suite, let kind, let count, let random):
            "made CertificateInformation: \(suite), \(kind), \(count) certificates, random \(random)"
        case .certificateInformationRead(let suite, let kind, let count, let random):
            "<- CertificateInformation: \(suite), \(kind), \(count) certificates, random \(random)"
        case .proofMade(let bytes): "made Proof: a signature of \(bytes) bytes"
        case .proofVerified(let bytes): "<- Proof: a signature of \(bytes) bytes over all so far, verified"
        case .firstRandomMade(let text): "made the first random \(text)"
        case .symmetricKeyDerived(let text): "derived the symmetric key \(text)"
        case .secretEncrypted(let bytes): "-> KeyGenerationInformation: the secret, encrypted, \(bytes) bytes"
        case .secretReceived(let bytes): "read KeyGenerationInformation: \(bytes) bytes"
        case .secretDecrypted: "decrypted the secret"
        case .secondRandomMade(let text): "made the second random \(text)"
        case .secondRandomRead(let text): "<- SecondRandom \(text)"
        case .finishedMade: "-> Finished"
        case .finishedVerified: "<- Finished, verified"
        }
    }
}
