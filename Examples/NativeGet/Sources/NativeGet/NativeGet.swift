import Foundation
import NativeClient

/// `NativeGet DOMAIN HOST PORT [ROOTS.pem]`: asks a site's origin for `/`, end to end through the edge at HOST and PORT.
@main
struct NativeGet {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count >= 3, let port = Int(arguments[3]) else {
            print("usage: NativeGet DOMAIN HOST PORT [ROOTS.pem]")
            return
        }
        var options = NativeOptions(serverName: try ServerName(arguments[1]), host: arguments[2], port: port)
        options.variant = .originDerived
        if arguments.count > 3 {
            options.roots = try ClientRoots(pem: String(contentsOfFile: arguments[4], encoding: .utf8))
        }
        do {
            let answer = try await NativeConnection.with(options) { connection in
                try await connection.send(
                    ByteBuffer(string: "GET / HTTP/1.0\r\nHost: \(arguments[1])\r\nConnection: close\r\n\r\n"))
                try await connection.finish()
                var answer = ByteBuffer()
                for try await part in connection.bytes { answer.writeImmutableBuffer(part) }
                return answer
            }
            print(String(buffer: answer))
        } catch let error as NativeError {
            print("the handshake or the stream failed: \(error)")
        } catch let error as ConnectionFailure {
            print("no connection: \(error)")
        }
    }
}
