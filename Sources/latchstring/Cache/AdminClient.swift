import Admin
import ArgumentParser
import Diagnosis
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Settings
import Telemetry

/// Where an edge's (or a key holder's) admin port is, and what it wants to see.
struct AdminOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The configuration file: says where the admin port is.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The admin port, instead of --config.", valueName: "host:port"))
    var admin: String?

    @Option(
        help: ArgumentHelp(
            "A file with the admin port's token, if it wants one and --config does not say.", valueName: "file"))
    var token: String?

    @Flag(help: "Print the answer as JSON.")
    var json = false

    func requireOne() throws {
        if (self.config == nil) == (self.admin == nil) {
            throw ValidationError("Name the admin port: either --config FILE or --admin HOST:PORT.")
        }
    }

    func validate() throws {
        if let admin { _ = try Self.endpoint(admin) }
    }

    /// - Parameter role: of the configuration file; nil: any that has an admin port.
    func client(role: SettingsRole? = .edge) throws -> AdminClient {
        var endpoint: SocketEndpoint
        var party = role.map { $0 == .keyHolder ? "key holder" : "edge" } ?? "edge or key holder"
        var tokenFile = self.token
        if let path = self.config {
            // Of the files that it names, only the token is used here; the others are the edge's own.
            let settings = try Startup.settings { () throws(SettingsError) in
                let loaded = try Settings.load(path: path, role: role, checkingFiles: false)
                return (loaded.party, loaded.warnings)
            }
            let admin: (endpoint: SocketEndpoint, token: String?)? =
                switch settings {
                case .edge(let settings): settings.admin.map { ($0.endpoint, $0.token) }
                case .keyHolder(let settings): settings.admin.map { ($0.endpoint, $0.token) }
                case .fleet: nil
                }
            if case .keyHolder = settings { party = "key holder" }
            if case .edge = settings { party = "edge" }
            guard let admin else {
                let port = party == "key holder" ? 9434 : 9435
                Startup.complain("error: \(path) has no admin port. Add admin: 127.0.0.1:\(port) and restart.")
                throw ExitCode.failure
            }
            endpoint = admin.endpoint
            tokenFile = tokenFile ?? admin.token
            // What listens on every interface is reached on this one.
            if endpoint.host == "0.0.0.0" { endpoint.host = "127.0.0.1" }
            if endpoint.host == "::" { endpoint.host = "::1" }
        } else {
            endpoint = try Self.endpoint(self.admin ?? "")
        }
        return try AdminClient(
            endpoint: endpoint, token: tokenFile.map { try Startup.adminToken($0) }, party: party)
    }

    private static func endpoint(_ text: String) throws -> SocketEndpoint {
        do throws(SocketEndpoint.ParsingError) {
            return try SocketEndpoint.parse(text, allowPortZero: false)
        } catch {
            throw ValidationError("--admin: \(error.message). Write HOST:PORT, such as 127.0.0.1:9435.")
        }
    }
}

/// One request to an admin port. Every failure is told to the user, with what to do, and ends the command.
struct AdminClient: Sendable {
    let endpoint: SocketEndpoint
    let token: AdminToken?
    /// What is expected there, for messages.
    let party: String

    /// An answer larger than this is none of ours.
    private static let maximumBytes = 16 << 20

    /// - Returns: the answer's JSON.
    func ask(_ method: HTTPMethod, _ path: String, body: Data? = nil) async throws -> Data {
        let answer: (status: UInt, body: ByteBuffer)
        do {
            answer = try await self.exchange(method, path, body: body)
        } catch {
            Startup.complain(
                "error: the admin port \(self.endpoint) does not answer: \(SystemError.text(error)). Is the \(self.party) running, and is this its port?"
            )
            throw ExitCode.failure
        }
        let data = Data(answer.body.readableBytesView)
        guard answer.status == 200 else {
            Startup.complain("error: " + self.explanation(of: answer.status, data))
            throw ExitCode.failure
        }
        return data
    }

    private func explanation(of status: UInt, _ data: Data) -> String {
        if status == 401 { return "the admin port wants another token. Name its file with --token." }
        if let failure = try? JSONDecoder().decode(AdminFailure.self, from: data) {
            return failure.error + "." + (failure.remedy.map { " \($0)" } ?? "")
        }
        if status == 404 {
            return "this admin port does not know the order. Is it that of the \(self.party), and of this version?"
        }
        return "what listens there answered with status \(status). Is it the admin port of the \(self.party)?"
    }

    private func exchange(_ method: HTTPMethod, _ path: String, body: Data?) async throws -> (UInt, ByteBuffer) {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(10))
            .connect(host: self.endpoint.host, port: self.endpoint.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(
                        wrappingChannelSynchronously: channel)
                }
            }
        let deadline = channel.channel.eventLoop.scheduleTask(in: .seconds(60)) { channel.channel.close(promise: nil) }
        defer { deadline.cancel() }
        return try await channel.executeThenClose { inbound, outbound in
            var headers = HTTPHeaders([("Host", "\(self.endpoint)"), ("Connection", "close")])
            if let token { headers.add(name: "Authorization", value: token.authorization) }
            if let body {
                headers.add(name: "Content-Type", value: "application/json")
                headers.add(name: "Content-Length", value: String(body.count))
            }
            try await outbound.write(
                .head(HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)))
            if let body { try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
            try await outbound.write(.end(nil))
            var status: UInt?
            var received = ByteBuffer()
            for try await part in inbound {
                switch part {
                case .head(let head): status = head.status.code
                case .body(var bytes):
                    received.writeBuffer(&bytes)
                    guard received.readableBytes <= Self.maximumBytes else { throw AdminClientError.tooLarge }
                case .end:
                    guard let status else { throw AdminClientError.broken }
                    return (status, received)
                }
            }
            throw AdminClientError.broken
        }
    }
}

enum AdminClientError: Error, CustomStringConvertible {
    case tooLarge, broken

    var description: String {
        switch self {
        case .tooLarge: "the answer is too large"
        case .broken: "the connection broke off"
        }
    }
}
