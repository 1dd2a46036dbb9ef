import Diagnosis
import TLSWire
import Testing

@Suite("Client: URLs and addresses")
struct ClientTargetTests {
    static func error(_ url: String, _ connect: String? = nil) -> ClientTargetError? {
        do {
            _ = try ClientTarget(url: url, connect: connect)
            return nil
        } catch {
            return error
        }
    }

    @Test("good ones")
    func good() throws {
        let plain = try ClientTarget(url: "https://WWW.example.test")
        #expect(plain.serverName.rawValue == "www.example.test" && plain.authority == "www.example.test")
        #expect(plain.requestTarget == "/" && plain.connectHost == "www.example.test" && plain.connectPort == 443)
        let full = try ClientTarget(url: "HTTPS://a.test:8443/p/q?r=s:t@u#frag", connect: "[::1]:9")
        #expect(full.authority == "a.test:8443" && full.requestTarget == "/p/q?r=s:t@u")
        #expect(full.connectHost == "::1" && full.connectPort == 9)
        #expect(try ClientTarget(url: "https://a.test?x=1").requestTarget == "/?x=1")
        #expect(try ClientTarget(url: "https://a.test:443/").authority == "a.test")
    }

    @Test("bad ones")
    func bad() {
        #expect(Self.error("http://a.test/") == .notHTTPS)
        #expect(Self.error("a.test") == .notHTTPS)
        #expect(Self.error("https://user:secret@a.test/") == .userInformation)
        #expect(Self.error("https://127.0.0.1/") == .badName(.ipAddress))
        #expect(Self.error("https://[::1]/") == .badName(.ipAddress))
        #expect(Self.error("https:///x") == .badName(.empty))
        #expect(Self.error("https://a.test:0/") == .badPort("0"))
        #expect(Self.error("https://a.test:+80/") == .badPort("+80"))
        #expect(Self.error("https://a.test/a b") == .badTarget)
        #expect(Self.error("https://a.test/\r\nX: y") == .badTarget)
        #expect(Self.error("https://a.test/ü") == .badTarget)
        for connect in ["a", "a:", ":1", "a:65536", "::1:80", "[]:1"] {
            #expect(Self.error("https://a.test/", connect) == .badConnect(connect))
        }
    }
}
