import Admission
import Testing

@testable import EdgeRelay

@Suite struct AddressPolicyTests {
    @Test(arguments: [
        ("0.0.0.0", AddressRefusal.unspecified), ("0.1.2.3", .unspecified), ("10.0.0.1", .privateUse),
        ("10.255.255.255", .privateUse), ("100.64.0.1", .shared), ("100.127.255.255", .shared),
        ("100.100.100.200", .metadata), ("127.0.0.1", .loopback), ("127.255.0.1", .loopback),
        ("169.254.1.1", .linkLocal), ("169.254.169.254", .metadata), ("172.16.0.1", .privateUse),
        ("172.31.255.255", .privateUse), ("192.0.0.8", .reserved), ("192.0.2.1", .documentation),
        ("192.88.99.1", .reserved), ("192.168.1.1", .privateUse), ("198.18.0.1", .benchmarking),
        ("198.19.255.255", .benchmarking), ("198.51.100.7", .documentation), ("203.0.113.7", .documentation),
        ("224.0.0.1", .multicast), ("239.255.255.250", .multicast), ("240.0.0.1", .reserved),
        ("255.255.255.255", .broadcast), ("168.63.129.16", .metadata),
        ("::", .unspecified), ("::1", .loopback), ("fe80::1", .linkLocal), ("febf::1", .linkLocal),
        ("fec0::1", .privateUse), ("fc00::1", .uniqueLocal), ("fdff::1", .uniqueLocal), ("fd00:ec2::254", .metadata),
        ("ff02::1", .multicast), ("2001:db8::1", .documentation), ("3fff::1", .documentation),
        ("2001:2::1", .benchmarking), ("2001:20::1", .reserved), ("100::1", .reserved), ("5f00::1", .reserved),
        ("4000::1", .reserved), ("::ffff:127.0.0.1", .loopback), ("::ffff:10.1.2.3", .privateUse),
        ("::127.0.0.1", .loopback), ("::1:0:0:0", .reserved), ("64:ff9b::10.0.0.1", .privateUse),
        ("64:ff9b::169.254.169.254", .metadata), ("64:ff9b:1::8.8.8.8", .privateUse), ("2002:7f00:1::", .loopback),
        ("2002:c0a8:101::1", .privateUse), ("2001:0:7f00:1::", .loopback),
        // A Teredo client of 10.0.0.1, inverted, behind the public server 8.8.8.8.
        ("2001:0:808:808:0:0:f5ff:fffe", .privateUse), ("2a00:1450::5efe:a00:1", .privateUse),
        ("2a00:1450::200:5efe:7f00:1", .loopback),
    ])
    func refuses(text: String, refusal: AddressRefusal) throws {
        let address = try #require(IPAddress(text))
        #expect(AddressPolicy(allowPrivate: false).refusal(of: address) == refusal)
        #expect(
            AddressPolicy(allowPrivate: true).refusal(of: address) == (refusal.isOpenedByAllowPrivate ? nil : refusal))
    }

    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
        "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::8a",
        "2001:4860:4860::8888", "2001:200::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1",
        "2001:0:808:808:0:0:f7f7:f7f7",
    ])
    func acceptsPublicAddresses(text: String) throws {
        #expect(AddressPolicy(allowPrivate: false).refusal(of: try #require(IPAddress(text))) == nil)
    }

    @Test func whatIsNeverAnOriginStaysClosed() {
        let closed = AddressRefusal.allCases.filter { !$0.isOpenedByAllowPrivate }
        #expect(closed == [.unspecified, .metadata, .multicast, .broadcast, .reserved])
    }
}

@Suite struct IPAddressTests {
    @Test(arguments: ["192.0.2.1", "2001:db8::1", "::1", "255.255.255.255", "::"])
    func textRoundTrip(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == text)
        #expect(IPAddress(bytes: address.bytes) == address)
        #expect(IPAddress(try address.socketAddress(port: 443)) == address)
    }

    @Test func rejectsOtherText() {
        #expect(IPAddress("www.example.test") == nil)
        #expect(IPAddress("1.2.3") == nil)
        #expect(IPAddress(bytes: [1, 2, 3]) == nil)
    }

    @Test func unmapsMappedAddressesOnly() throws {
        #expect(try #require(IPAddress("::ffff:192.0.2.1")).unmapped == IPAddress("192.0.2.1"))
        #expect(try #require(IPAddress("::192.0.2.1")).unmapped == IPAddress("::192.0.2.1"))
    }
}
