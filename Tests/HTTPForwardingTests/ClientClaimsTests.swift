import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import TLSWire
import Testing

/// What is said about the client on the way to the origin, by itself, by proxies before and by the edge.
@Suite struct ClientClaimsTests {
    let builder: RequestBuilder

    init() throws { self.builder = try RequestBuilder() }

    @Test func forwardedHostWithPortIsQuoted() throws {
        let request = try self.builder.sent("GET", "/", host: "www.example.test:8443")
        #expect(
            request["forwarded"] == [
                "by=_paris;for=192.0.2.7;proto=https;host=\"www.example.test:8443\""
            ])
    }

    @Test func ipv6ClientIsBracketedAndQuoted() throws {
        var builder = self.builder
        builder.client = .ipv6("2001:db8::7")
        let request = try builder.sent()
        #expect(
            request["forwarded"] == [
                "by=_paris;for=\"[2001:db8::7]\";proto=https;host=www.example.test"
            ])
        #expect(request["x-forwarded-for"] == ["2001:db8::7"])
        builder.client = .unknown
        #expect(try builder.sent()["x-forwarded-for"] == ["unknown"])
    }

    @Test func clientClaimsAreReplaced() throws {
        let request = try self.builder.sent(
            "GET", "/",
            [
                ("Forwarded", "for=10.0.0.1"), ("X-Forwarded-For", "10.0.0.1"), ("x-forwarded-host", "evil.test"),
                ("X_Forwarded_For", "10.0.0.2"), ("X-Forwarded-Port", "1"), ("X-Real-IP", "10.0.0.1"),
                ("X_Real_IP", "x"),
                ("X-Forwarded-Proto", "http"),
            ])
        #expect(request["forwarded"].count == 1)
        #expect(request["x-forwarded-for"] == ["192.0.2.7"])
        #expect(request["x-forwarded-host"] == ["www.example.test"])
        #expect(request["x-forwarded-proto"] == ["https"])
        for name in ["x_forwarded_for", "x-forwarded-port", "x-real-ip", "x_real_ip"] {
            #expect(request[name].isEmpty)
        }
    }

    @Test func clientClaimsAreExtended() throws {
        let builder = try RequestBuilder(claims: .append)
        let request = try builder.sent(
            "GET", "/",
            [
                ("Forwarded", "for=10.0.0.1"), ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2"),
                ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "first.test"),
            ])
        #expect(
            request["forwarded"].first
                == "for=10.0.0.1, by=_paris;for=192.0.2.7;proto=https;host=www.example.test")
        #expect(request["x-forwarded-for"].first == "10.0.0.1, 10.0.0.2, 192.0.2.7")
        #expect(request["x-forwarded-proto"] == ["http"])
        #expect(request["x-forwarded-host"] == ["first.test"])
    }

    @Test func connectionCannotRemoveOurFields() throws {
        let request = try self.builder.sent(
            "GET", "/", [("Connection", "x-forwarded-for, forwarded, via"), ("X-Forwarded-For", "10.0.0.1")])
        #expect(request["x-forwarded-for"] == ["192.0.2.7"])
        #expect(request["via"] == ["1.1 paris"])
        for name in ["Host", "content-length", "Transfer-Encoding"] {
            #expect(
                self.builder.refusal("POST", "/", [("Connection", "close, \(name)"), ("Content-Length", "3")])
                    == .connectionNamesVitalField)
        }
    }

    @Test func viaIsExtendedAndLoopsAreSeen() throws {
        let request = try self.builder.sent(
            "GET", "/", [("Via", "1.0 fred, 1.1 paris.example (paris)"), ("Via", "HTTP/2 x:80 (1.1 paris)")])
        #expect(
            request["via"] == [
                "1.0 fred, 1.1 paris.example (paris)", "HTTP/2 x:80 (1.1 paris)", "1.1 paris",
            ])
        for via in ["1.1 paris", "1.0 fred, HTTP/1.1 PARIS (x)", "1.1 a (comment, with 1.1 b), 2 paris", "1.1\tparis"] {
            #expect(self.builder.refusal("GET", "/", [("Via", via)]) == .loop, "\(via)")
        }
    }

    @Test("A proxy that is trusted for its client's address is not trusted for another host or scheme")
    func differingClaims() throws {
        let builder = try RequestBuilder(claims: .append)
        func differing(_ fields: [(String, String)], host: String = "www.example.test") throws -> [String] {
            let request = try builder.accepted("GET", "/", host: host, fields)
            var names: [String] = []
            request.forEachDifferingClaim { names.append(request.fields.text($0.name)) }
            return names
        }
        #expect(
            try differing([
                ("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1"), ("X-Real-IP", "192.0.2.1"),
                ("X-Forwarded-Host", "WWW.example.test"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "443"),
                ("X-Forwarded-Scheme", "HTTPS"), ("X-Forwarded-Ssl", "on"),
                ("X_Forwarded_Host", "www.example.test:443"),
            ]) == [])
        #expect(try differing([("X-Forwarded-Port", "8443")], host: "www.example.test:8443") == [])
        for (name, value) in [
            ("X-Forwarded-Host", "evil.example"), ("x_forwarded_host", "evil.example"), ("X-Forwarded-Host", ""),
            ("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/x"),
            ("X-Forwarded-Server", "evil.example"), ("X-Forwarded-Ssl", "off"), ("X-Forwarded-Scheme", "http"),
        ] {
            #expect(try differing([(name, value)]) == [name])
        }
        let replacing = try RequestBuilder().accepted("GET", "/", [("X-Forwarded-Host", "evil.example")])
        replacing.forEachDifferingClaim { _ in Issue.record("the edge writes it itself") }
    }
}
