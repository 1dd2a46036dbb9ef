import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import Testing

/// `Location` of an origin that puts its own scheme and port into it, as nginx and most frameworks do.
@Suite struct LocationTests {
    let builder: RequestBuilder

    init() throws { self.builder = try RequestBuilder() }

    /// What the client gets for a redirect of the origin's.
    private func location(
        _ value: String, origin: OriginAddress? = OriginAddress(scheme: "http", host: "10.0.0.5", port: 8080),
        host: String = "www.example.test", status: Int = 301, name: String = "Location"
    ) throws -> String? {
        guard case .accepted(let request) = self.builder.judge(host: host) else { return nil }
        var response = ResponseBuilder(
            status: status,
            [("X-Before", "1"), (name, value), ("Connection", "X-Hop"), ("X-Hop", "2"), ("X-Behind", "3")])
        response.rules = ResponseRules(pseudonym: "paris", origin: origin)
        let fields = try response.judge(to: request).head.written().fields
        #expect(
            fields.contains { fields.equals($0.name, "x-before") }
                && fields.contains { fields.equals($0.name, "x-behind") })
        #expect(!fields.contains { fields.equals($0.name, "x-hop") })
        return fields.first { fields.equals($0.name, name == "Location" ? "location" : "content-location") }
            .map { String(buffer: fields.slice($0.value)) }
    }

    @Test(
        "A reference to the origin's own scheme and port leads to the site",
        arguments: [
            ("http://10.0.0.5:8080/a?b#c", "https://www.example.test/a?b#c"),
            ("http://www.example.test:8080/a/", "https://www.example.test/a/"),
            ("HTTP://WWW.Example.Test:8080", "https://www.example.test"),
            ("http://www.example.test.:8080?q", "https://www.example.test?q"),
        ])
    func own(_ value: String, _ wanted: String) throws {
        #expect(try self.location(value) == wanted)
        #expect(try self.location(value, status: 201) == wanted)
        #expect(try self.location(value, status: 200, name: "Content-Location") == wanted)
    }

    @Test(
        "Everything else passes as it is",
        arguments: [
            "/a", "a", "//10.0.0.5:8080/a", "http://10.0.0.5/a", "https://10.0.0.5:8080/a", "http://10.0.0.6:8080/",
            "http://www.example.test/a", "https://www.example.test/a", "http://other.example.test:8080/",
            "http://user@10.0.0.5:8080/a", "http://10.0.0.5:8080.evil.test/", "http://10.0.0.5:8080@evil.test/",
            "http://10.0.0.5:8080\\@evil.test/", "http://", "http:/10.0.0.5:8080/", "",
        ])
    func others(_ value: String) throws {
        #expect(try self.location(value) == value)
    }

    @Test("The client's port is told, a default port of the origin's is understood, and it can be turned off")
    func ports() throws {
        #expect(
            try self.location("http://10.0.0.5:8080/a", host: "www.example.test:8443")
                == "https://www.example.test:8443/a")
        #expect(
            try self.location("http://www.example.test:8080/a", host: "www.example.test:8443")
                == "https://www.example.test:8443/a")
        let plain = OriginAddress(scheme: "http", host: "origin.internal", port: 80)
        #expect(try self.location("http://www.example.test/a", origin: plain) == "https://www.example.test/a")
        #expect(try self.location("http://origin.internal:80/a", origin: plain) == "https://www.example.test/a")
        let secure = OriginAddress(scheme: "https", host: "::1", port: 443)
        #expect(try self.location("https://[::1]/a", origin: secure) == "https://www.example.test/a")
        #expect(try self.location("http://www.example.test/a", origin: secure) == "http://www.example.test/a")
        #expect(try self.location("http://10.0.0.5:8080/a", origin: nil) == "http://10.0.0.5:8080/a")
    }
}
