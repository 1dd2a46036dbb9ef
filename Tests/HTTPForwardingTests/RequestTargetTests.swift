import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import TLSWire
import Testing

/// Whom a request means: its target, its host, and what it is to be at the origin.
@Suite struct RequestTargetTests {
    let builder: RequestBuilder

    init() throws { self.builder = try RequestBuilder() }

    @Test func namesOfOtherSitesUnderAWildcardAreNotServed() throws {
        var builder = self.builder
        builder.policy.namesOfOtherSites = [try ServerName("secret.shop.example.test")]
        builder.serverName = try ServerName("a.shop.example.test")
        for host in ["secret.shop.example.test", "SECRET.shop.example.test:443", "secret.shop.example.test."] {
            #expect(builder.refusal("GET", "/", host: host) == .hostNotServed, "\(host)")
            #expect(
                builder.refusal("GET", "https://\(host)/", host: "a.shop.example.test") == .hostNotServed, "\(host)")
        }
        #expect(try builder.sent("GET", "/", host: "b.shop.example.test").target == "/")
        let target = "https://b.shop.example.test/"
        #expect(try builder.sent("GET", target, host: "secret.shop.example.test").target == "/")
    }

    @Test func hosts() throws {
        // A cache takes all spellings of a host for one: the origin gets only one of them.
        for (host, forwarded) in [
            ("www.example.test", "www.example.test"), ("WWW.Example.TEST", "www.example.test"),
            ("www.example.test:8443", "www.example.test:8443"), ("www.example.test:", "www.example.test"),
            ("www.example.test.", "www.example.test"), ("WWW.example.test.:443", "www.example.test"),
            ("www.example.test.:", "www.example.test"), ("www.example.test:080", "www.example.test:80"),
            ("a.shop.example.test", "a.shop.example.test"), ("A.Shop.example.test:1", "a.shop.example.test:1"),
        ] {
            for request in [
                try self.builder.sent("GET", "/", host: host),
                try self.builder.sent("GET", "https://\(host)/", host: "www.example.test"),
            ] {
                #expect(request["host"] == [forwarded])
                #expect(request["x-forwarded-host"] == [forwarded])
            }
        }
        for host in ["example.test", "other.test", "a.b.shop.example.test", "192.0.2.1", "[::1]", "[2001:db8::1]:443"] {
            #expect(self.builder.refusal("GET", "/", host: host) == .hostNotServed, "\(host)")
        }
        for host in [
            "www.example.test:x", "www.example.test:65536", "www.example.test:1:2", "a b", "user@www.example.test",
            "www.ex\u{E4}mple.test",
            "[::1",
            "[]", "www..example.test", ":80", "www.example.test/", "www.example.test,other.test", "[::1]x",
        ] {
            #expect(self.builder.refusal("GET", "/", host: host) == .badHost, "\(host)")
        }
        #expect(self.builder.refusal("GET", "/", host: "") == .missingHost)
        #expect(self.builder.fault("GET", "/", host: nil) == .missingHost)
        #expect(self.builder.fault("GET", "/", [("host", "www.example.test")]) == .severalHosts)
    }

    @Test func oldClientWithoutHostMeansTheNameOfTheConnection() throws {
        let request = try self.builder.sent("GET", "/", version: "1.0", host: nil)
        #expect(request["host"] == ["www.example.test"])
        #expect(request["via"] == ["1.0 paris"])
        #expect(request.head.minorVersion == 1)
    }

    @Test func absoluteTargets() throws {
        var request = try self.builder.sent(
            "GET", "https://a.shop.example.test/p?q", host: "www.example.test")
        #expect(request.target == "/p?q")
        #expect(request["host"] == ["a.shop.example.test"])
        request = try self.builder.sent("GET", "HTTPS://www.example.test:8443?q")
        #expect(request.target == "/?q")
        #expect(request["host"] == ["www.example.test:8443"])
        request = try self.builder.sent("GET", "https://www.example.test")
        #expect(request.target == "/")
        request = try self.builder.sent("OPTIONS", "https://www.example.test")
        #expect(request.target == "*")
        #expect(self.builder.refusal("GET", "https://other.test/") == .hostNotServed)
        #expect(self.builder.refusal("GET", "http://www.example.test/") == .schemeNotServed)
        #expect(self.builder.refusal("GET", "https://user@www.example.test/") == .badHost)
        #expect(self.builder.fault("GET", "https:///x") == .badTarget)
        #expect(self.builder.fault("GET", "https://www.example.test/", host: nil) == .missingHost)
        #expect(self.builder.refusal("GET", "https://www.example.test/", host: "a b") == .badHost)
    }

    @Test func otherTargets() throws {
        #expect(try self.builder.sent("OPTIONS", "*").target == "*")
        #expect(try self.builder.sent("GET", "//two//slashes").target == "//two//slashes")
        #expect(self.builder.fault("GET", "*") == .badTarget)
        #expect(self.builder.refusal("CONNECT", "www.example.test:443") == .connectNotSupported)
        for uri in ["relative", "/a\u{0}b", "/a#f", "mailto:x", "://x", "/\u{7F}", "/\u{212A}ey", "/\u{37E}"] {
            #expect(self.builder.fault("GET", uri) == .badTarget, "\(uri)")
        }
        for uri in ["", "/a b", "/a\r\nb"] { #expect(self.builder.fault("GET", uri) != nil, "\(uri)") }
        #expect(self.builder.refusal("GET", "/" + String(repeating: "a", count: 16384)) == .targetTooLong)
    }
}
