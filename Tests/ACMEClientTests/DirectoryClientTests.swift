import ACME
import ACMEClient
import Foundation
import NIOCore
import NIOPosix
import TestDirectory
import Testing

/// The HTTPS client: what it verifies, and its bounds.
@Suite(.serialized, .timeLimit(.minutes(2))) struct DirectoryClientTests {
    private static func client(_ root: String?, _ folder: Folder, timeout: Int64 = 20) throws -> DirectoryClient {
        if let root { folder.write(root, "roots.pem") }
        return try DirectoryClient(
            group: MultiThreadedEventLoopGroup.singleton, roots: root == nil ? nil : "\(folder.path)/roots.pem",
            userAgent: "latchstring-tests", timeout: .seconds(timeout))
    }

    private static func failure(_ client: DirectoryClient, _ url: String) async -> String {
        do {
            return "status \(try await client.send(ACMERequest(method: .get, url: url)).status)"
        } catch {
            return error.description
        }
    }

    @Test func itVerifies() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        let folder = try Folder()
        #expect(await Self.failure(try Self.client(server.directory.root, folder), server.url) == "status 200")
        // Another root, the system's roots, and another name.
        let other = try TestDirectory().root
        #expect(await !Self.failure(try Self.client(other, folder), server.url).hasPrefix("status"))
        #expect(await Self.failure(try Self.client(nil, folder), server.url).contains("CERTIFICATE_VERIFY_FAILED"))
        let byAddress = "https://127.0.0.1:\(server.port)/directory"
        let client = try Self.client(server.directory.root, folder)
        #expect(await Self.failure(client, byAddress) != "status 200")
        #expect(await Self.failure(client, "http://localhost:\(server.port)/directory") == "a URL that cannot be asked")
    }

    @Test func itsTimeAndLengthAreBounded() async throws {
        let server = try TestDirectoryServer()
        defer { server.stop() }
        let folder = try Folder()
        server.set(.silent)
        let began = ContinuousClock.now
        let impatient = try Self.client(server.directory.root, folder, timeout: 1)
        #expect(await Self.failure(impatient, server.url) == "localhost:\(server.port) did not answer in time")
        #expect(ContinuousClock.now - began < .seconds(10))
        let client = try Self.client(server.directory.root, folder)
        server.set(.endless)
        #expect(
            await Self.failure(client, server.url) == "localhost:\(server.port): an answer of more than 262144 bytes")
        server.set(.closes)
        #expect(await Self.failure(client, server.url).hasPrefix("localhost:\(server.port)"))
        server.set(.answers)
        #expect(await Self.failure(client, server.url) == "status 200")
    }

    @Test func rootsThatCannotBeRead() throws {
        let folder = try Folder()
        #expect(throws: DirectoryUnreachable.self) { try Self.client("no certificates here", folder) }
    }
}
