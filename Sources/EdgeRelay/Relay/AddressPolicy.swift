public import Admission

/// Why the edge does not connect to an address that DNS gave it. The raw value is for log lines.
public enum AddressRefusal: String, Error, Sendable, CaseIterable {
    case unspecified
    case loopback
    case privateUse = "private"
    case linkLocal = "link-local"
    case uniqueLocal = "unique-local"
    case shared
    case benchmarking
    case documentation
    case metadata
    case multicast
    case broadcast
    case reserved

    /// Whether a site that allows private addresses is served from such an address. The others are never an origin.
    public var isOpenedByAllowPrivate: Bool {
        switch self {
        case .loopback, .privateUse, .linkLocal, .uniqueLocal, .shared, .benchmarking, .documentation: true
        case .unspecified, .metadata, .multicast, .broadcast, .reserved: false
        }
    }
}

/// Which addresses an edge may connect to when others, through DNS, chose them.
///
/// The owner of the DNS of a name that the edge resolves can point it anywhere. Without this check the edge would be a
/// way into the networks around it. The tables follow the IANA special-purpose address registries (RFC 6890) and, in IPv6,
/// accept only global unicast (2000::/3); an IPv6 address that carries an IPv4 address is judged by that one.
public struct AddressPolicy: Sendable {
    /// Whether private, loopback, link-local and similar addresses are fine.
    public var allowPrivate: Bool

    public init(allowPrivate: Bool) {
        self.allowPrivate = allowPrivate
    }

    /// Why this address must not be connected to; `nil` if it may.
    public func refusal(of address: IPAddress) -> AddressRefusal? {
        guard let refusal = Self.classify(address) else { return nil }
        return self.allowPrivate && refusal.isOpenedByAllowPrivate ? nil : refusal
    }

    /// What makes this address special; `nil` for a public one.
    static func classify(_ address: IPAddress) -> AddressRefusal? {
        switch address {
        case .v4(let value): self.classify(v4: value)
        case .v6(let upper, let lower): self.classify(upper, lower)
        }
    }

    private struct V4Range {
        var prefix: UInt32
        var length: UInt32
        var refusal: AddressRefusal

        init(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ length: UInt32, _ refusal: AddressRefusal) {
            self.prefix = a << 24 | b << 16 | c << 8 | d
            self.length = length
            self.refusal = refusal
        }

        func contains(_ value: UInt32) -> Bool {
            (value ^ self.prefix) >> (32 - self.length) == 0
        }
    }

    /// The first match counts, so single addresses stand before the ranges that contain them.
    private static let v4Ranges: [V4Range] = [
        V4Range(169, 254, 169, 254, 32, .metadata),  // most clouds' instance metadata
        V4Range(100, 100, 100, 200, 32, .metadata),  // Alibaba Cloud's
        V4Range(168, 63, 129, 16, 32, .metadata),  // Azure's host services, in otherwise public space
        V4Range(192, 0, 0, 192, 32, .metadata),  // Oracle Cloud's
        V4Range(255, 255, 255, 255, 32, .broadcast),
        V4Range(0, 0, 0, 0, 8, .unspecified),  // RFC 791: "this network"
        V4Range(10, 0, 0, 0, 8, .privateUse),  // RFC 1918
        V4Range(100, 64, 0, 0, 10, .shared),  // RFC 6598: carrier-grade NAT
        V4Range(127, 0, 0, 0, 8, .loopback),
        V4Range(169, 254, 0, 0, 16, .linkLocal),  // RFC 3927
        V4Range(172, 16, 0, 0, 12, .privateUse),
        V4Range(192, 0, 0, 0, 24, .reserved),  // RFC 6890: IETF protocol assignments
        V4Range(192, 0, 2, 0, 24, .documentation),  // RFC 5737
        V4Range(192, 88, 99, 0, 24, .reserved),  // RFC 7526: the former 6to4 relay anycast
        V4Range(192, 168, 0, 0, 16, .privateUse),
        V4Range(198, 18, 0, 0, 15, .benchmarking),  // RFC 2544
        V4Range(198, 51, 100, 0, 24, .documentation),
        V4Range(203, 0, 113, 0, 24, .documentation),
        V4Range(224, 0, 0, 0, 4, .multicast),
        V4Range(240, 0, 0, 0, 4, .reserved),
    ]

    private static func classify(v4 value: UInt32) -> AddressRefusal? {
        self.v4Ranges.first { $0.contains(value) }?.refusal
    }

    private static func classify(_ upper: UInt64, _ lower: UInt64) -> AddressRefusal? {
        // What carries an IPv4 address is as good as that address.
        if upper == 0 {
            if lower == 0 { return .unspecified }
            if lower == 1 { return .loopback }
            // ::ffff:a.b.c.d is IPv4-mapped, ::a.b.c.d the deprecated IPv4-compatible (RFC 4291 §2.5.5).
            if lower >> 32 == 0xffff || lower >> 32 == 0 { return self.classify(v4: UInt32(truncatingIfNeeded: lower)) }
            return .reserved
        }
        if upper == 0x0064_ff9b_0000_0000 && lower >> 32 == 0 {  // RFC 6052: NAT64
            return self.classify(v4: UInt32(truncatingIfNeeded: lower))
        }
        if upper >> 16 == 0x0064_ff9b_0001 { return .privateUse }  // RFC 8215: a network's own NAT64
        if upper >> 48 == 0x2002 {  // RFC 3056: 6to4
            return self.classify(v4: UInt32(truncatingIfNeeded: upper >> 16))
        }
        if upper >> 32 == 0x2001_0000 {  // RFC 4380: Teredo names its server and, inverted, its client
            return self.classify(v4: UInt32(truncatingIfNeeded: upper))
                ?? self.classify(v4: ~UInt32(truncatingIfNeeded: lower))
        }
        // RFC 5214: ISATAP's interface identifier ends in an IPv4 address.
        if (lower >> 32) & ~0x0200_0000 == 0x0000_5efe,
            let refusal = self.classify(v4: UInt32(truncatingIfNeeded: lower))
        {
            return refusal
        }
        return self.classifyNative(upper, lower)
    }

    private static func classifyNative(_ upper: UInt64, _ lower: UInt64) -> AddressRefusal? {
        // The metadata services of AWS and of Google Cloud have addresses in unique-local space.
        if upper == 0xfd00_0ec2_0000_0000 && lower == 0x254 { return .metadata }
        if upper == 0xfd20_00ce_0000_0000 && lower == 0x254 { return .metadata }
        switch upper >> 56 {
        case 0xff: return .multicast
        case 0xfc, 0xfd: return .uniqueLocal
        case 0xfe:
            switch upper >> 54 {
            case 0xfe80 >> 6: return .linkLocal
            case 0xfec0 >> 6: return .privateUse  // RFC 3879: the deprecated site-local
            default: return .reserved
            }
        default: break
        }
        if upper >> 32 == 0x2001_0db8 || upper >> 44 == 0x3fff0 { return .documentation }  // RFC 3849, RFC 9637
        if upper >> 16 == 0x2001_0002_0000 { return .benchmarking }  // RFC 5180
        // RFC 2928: the rest of 2001::/23 is for protocols, not for hosts.
        if upper >> 41 == 0x2001_0000 >> 9 { return .reserved }
        return upper >> 61 == 1 ? nil : .reserved
    }
}
