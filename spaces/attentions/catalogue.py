"""The built-in attentions: what each is called, which options it takes, and what it must cost.

Plain data, no torch. The command line lists it, the architecture text is checked against it, and
every network that is built is compared with `Attention.parameters`. The modules themselves are the
other files of this folder, one mechanism a file, and are imported only when a network is built
(`Attention.load`). Users' own attentions are in `plugins/register.py`; `registry.py` looks a name
up in both.

The reduction ratio `r` means the same everywhere: the hidden width is `max(floor, C // r)`.
`start` says how the module begins: `paper` is the published form, whose gate begins near 0.5;
`identity` begins as the identity and can leave it.
"""

from __future__ import annotations

from . import formulas
from .entry import START, Attention, Option, ratio
from .formulas import channel_groups, eca_kernel

BIAS = Option("bias", False, "biases in the bottleneck")
PLANE_KERNEL = Option("k", 7, "kernel over the plane", low=3, odd=True)


def _channel_groups_option(default: int) -> Option:
    return Option(
        "groups",
        "auto",
        f"groups of channels: the most up to this ({default}) that leave 4 or more in each",
        low=1,
        auto=lambda channels: channel_groups(channels, default),
        clip=channel_groups,
    )


ATTENTIONS: dict[str, Attention] = {
    entry.name: entry
    for entry in (
        Attention(
            "se",
            "Squeeze-and-Excitation",
            "Hu et al., CVPR 2018, arXiv 1709.01507",
            "channel",
            "x · σ(W2 ReLU(W1 mean_HW(x)))",
            "se:SqueezeExcitation",
            formulas.bottleneck,
            (ratio(16), BIAS, START),
        ),
        Attention(
            "eca",
            "Efficient Channel Attention",
            "Wang et al., CVPR 2020, arXiv 1910.03151",
            "channel",
            "x · σ(conv1d_k(mean_HW(x))), k = odd(|log2(C)/2 + 1/2|)",
            "eca:EfficientChannelAttention",
            formulas.eca,
            (
                Option("k", "auto", "kernel over the channels", low=1, odd=True, auto=eca_kernel),
                START,
            ),
        ),
        Attention(
            "cbam",
            "Convolutional Block Attention Module",
            "Woo et al., ECCV 2018, arXiv 1807.06521",
            "mixed",
            "y = x · σ(MLP(mean_HW x) + MLP(max_HW x)); y · σ(BN(conv_k([mean_C y; max_C y])))",
            "cbam:CBAM",
            formulas.cbam,
            (ratio(16), Option("k", 7, "kernel of the spatial half", low=3, odd=True), BIAS, START),
        ),
        Attention(
            "ca",
            "Coordinate Attention",
            "Hou et al., CVPR 2021, arXiv 2103.02907",
            "mixed",
            "f = hswish(BN(W1 [mean_W x; mean_H x])); x · σ(W_h f_h) · σ(W_w f_w)",
            "ca:CoordinateAttention",
            formulas.ca,
            (ratio(32, meaning="reduction ratio: hidden width is max(8, C // r)"), START),
            floor=8,
        ),
        Attention(
            "nl",
            "Non-local block (embedded Gaussian)",
            "Wang et al., CVPR 2018, arXiv 1711.07971",
            "global",
            "x + BN(W_z softmax(θ(x)ᵀ φ(x)) g(x)), BN's scale zero at the start",
            "nl:NonLocal",
            formulas.nl,
            (ratio(2), START),
            starts_as_identity=True,
        ),
        Attention(
            "gc",
            "Global Context",
            "Cao et al., ICCVW 2019, arXiv 1904.11492",
            "global",
            "x + W2 ReLU(LN(W1 Σ_j softmax_j(W_k x_j) x_j)), W2 zero at the start",
            "gc:GlobalContext",
            formulas.gc,
            (ratio(16), START),
            starts_as_identity=True,
        ),
        Attention(
            "a2",
            "Double Attention (A²-Net)",
            "Chen et al., NeurIPS 2018, arXiv 1810.11579",
            "global",
            "x + W_z (φ(x) softmax_HW(θ(x))ᵀ) softmax_d(ρ(x))",
            "a2:DoubleAttention",
            formulas.a2,
            (ratio(4), START),
        ),
        Attention(
            "ese",
            "Effective Squeeze-and-Excitation",
            "Lee and Park, CVPR 2020, arXiv 1911.06667",
            "channel",
            "x · σ(W mean_HW(x) + b), W: C → C",
            "ese:EffectiveSqueezeExcitation",
            formulas.ese,
            (START,),
        ),
        Attention(
            "channel",
            "CBAM's channel half",
            "Woo et al., ECCV 2018, arXiv 1807.06521",
            "channel",
            "x · σ(MLP(mean_HW x) + MLP(max_HW x))",
            "channel:ChannelAttention",
            formulas.bottleneck,
            (ratio(16), BIAS, START),
        ),
        Attention(
            "srm",
            "Style-based Recalibration Module",
            "Lee et al., ICCV 2019, arXiv 1903.10829",
            "channel",
            "x_c · σ(BN(w_c · [mean_HW(x_c), std_HW(x_c)]))",
            "srm:StyleRecalibration",
            formulas.srm,
            (START,),
        ),
        Attention(
            "fca",
            "Frequency Channel Attention",
            "Qin et al., ICCV 2021, arXiv 2012.11879",
            "channel",
            "x · σ(W2 ReLU(W1 s)), s_c = Σ_HW x_c · cos(πu(h+½)/H) cos(πv(w+½)/W)",
            "fca:FrequencyChannelAttention",
            formulas.bottleneck,
            (
                ratio(16),
                Option(
                    "frequencies",
                    "16",
                    "the best frequencies, each for an equal part of the channels",
                    choices=("1", "2", "4", "8", "16", "32"),
                ),
                START,
            ),
        ),
        Attention(
            "gct",
            "Gated Channel Transformation",
            "Yang et al., CVPR 2020, arXiv 1909.11519",
            "channel",
            "x · (1 + tanh(γ ŝ + β)), ŝ = √C s / ‖s‖, s_c = α_c ‖x_c‖; γ = β = 0 at the start",
            "gct:GatedChannelTransformation",
            formulas.gct,
            (START,),
            starts_as_identity=True,
        ),
        Attention(
            "lct",
            "Linear Context Transform",
            "Ruan et al., AAAI 2020, arXiv 1909.03834",
            "channel",
            "x_c · σ(w_c ẑ_c + b_c), ẑ = mean_HW(x) normalised within groups",
            "lct:LinearContextTransform",
            formulas.lct,
            (_channel_groups_option(64), START),
        ),
        Attention(
            "spatial",
            "CBAM's spatial half",
            "Woo et al., ECCV 2018, arXiv 1807.06521",
            "spatial",
            "x · σ(BN(conv_k([mean_C x; max_C x])))",
            "spatial:SpatialAttention",
            formulas.spatial,
            (PLANE_KERNEL, START),
        ),
        Attention(
            "sge",
            "Spatial Group-wise Enhance",
            "Li et al., 2019, arXiv 1905.09646",
            "spatial",
            "x_i · σ(γ ĉ_i + β) in groups, c_i = mean_HW(x) · x_i, normalised over HW",
            "sge:SpatialGroupEnhance",
            formulas.sge,
            (_channel_groups_option(64), START),
        ),
        Attention(
            "bam",
            "Bottleneck Attention Module",
            "Park et al., BMVC 2018, arXiv 1807.06514",
            "mixed",
            "x + x · σ(BN(MLP(mean_HW x)) + BN(conv1 conv3 conv3 conv1 x))",
            "bam:BAM",
            formulas.bam,
            (
                ratio(16),
                Option("dilation", 4, "of the 3×3 convolutions in the spatial branch", low=1),
                START,
            ),
        ),
        Attention(
            "scse",
            "Concurrent Spatial and Channel SE",
            "Roy et al., MICCAI 2018, arXiv 1803.02579",
            "mixed",
            "x · σ(W2 ReLU(W1 mean_HW(x))) + x · σ(W_s x)",
            "scse:ConcurrentSqueezeExcitation",
            formulas.scse,
            (ratio(2), START),
        ),
        Attention(
            "triplet",
            "Triplet Attention",
            "Misra et al., WACV 2021, arXiv 2010.03045",
            "mixed",
            "x · (g_HW + g_CW + g_CH) / 3, g = σ(BN(conv_k([max; mean] over the third axis)))",
            "triplet:TripletAttention",
            formulas.triplet,
            (PLANE_KERNEL, START),
        ),
        Attention(
            "shuffle",
            "Shuffle Attention (SA-Net)",
            "Zhang and Yang, ICASSP 2021, arXiv 2102.00240",
            "mixed",
            "halves of groups: a · σ(w mean_HW(a) + b), b · σ(w GN(b) + b); then shuffled",
            "shuffle:ShuffleAttention",
            formulas.shuffle,
            (_channel_groups_option(64), START),
        ),
        Attention(
            "ela",
            "Efficient Local Attention",
            "Xu and Wan, 2024, arXiv 2403.01123",
            "mixed",
            "x · σ(GN(conv1d_k(mean_W x))) · σ(GN(conv1d_k(mean_H x)))",
            "ela:EfficientLocalAttention",
            formulas.ela,
            (Option("k", 7, "kernel along rows and columns", low=1, odd=True), START),
        ),
        Attention(
            "ema",
            "Efficient Multi-scale Attention",
            "Ouyang et al., ICASSP 2023, arXiv 2305.13563",
            "mixed",
            "x · σ(softmax(mean x1)ᵀ x2 + softmax(mean x2)ᵀ x1) in groups; x1 by rows and "
            "columns, x2 by conv3×3",
            "ema:EfficientMultiscaleAttention",
            formulas.ema,
            (_channel_groups_option(32), START),
        ),
        Attention(
            "strip",
            "Strip Pooling",
            "Hou et al., CVPR 2020, arXiv 2003.13328",
            "mixed",
            "x · σ(f(ReLU(BN(conv1d_3(mean_W x)) + BN(conv1d_3(mean_H x))))), all C → C",
            "strip:StripPooling",
            formulas.strip,
            (START,),
        ),
        Attention(
            "ge",
            "Gather-Excite",
            "Hu et al., NeurIPS 2018, arXiv 1810.12348",
            "mixed",
            "x · σ(resize(MLP(gather_extent(x)))): θ⁻ gather=mean; θ gather=conv; θ⁺ with mlp",
            "ge:GatherExcite",
            formulas.ge,
            (
                Option(
                    "extent",
                    "global",
                    "side of the square of positions that is gathered into one",
                    choices=("global", "2", "4", "8"),
                ),
                Option(
                    "gather",
                    "mean",
                    "by means, or by depthwise convolutions of stride 2",
                    choices=("mean", "conv"),
                ),
                Option("mlp", False, "C → C // 16 → C before the gate"),
                START,
            ),
        ),
        Attention(
            "simam",
            "SimAM, parameter-free",
            "Yang et al., ICML 2021, PMLR 139",
            "mixed",
            "x · σ((x − μ)² / (4(σ² + λ)) + ½) within each channel, λ = 1e-4",
            "simam:SimAM",
            formulas.simam,
            (START,),
        ),
        Attention(
            "sk",
            "Selective Kernel",
            "Li et al., CVPR 2019, arXiv 1903.06586",
            "channel",
            "a · U1 + (1 − a) · U2, U1 the block's own convolution, U2 = ReLU(BN(conv)) beside it, "
            "of dilation 2, a from U1 + U2; only at mid",
            "sk:SelectiveKernel",
            formulas.sk,
            (ratio(16, meaning="reduction ratio: hidden width is max(32, C // r)"), START),
            floor=32,
            positions=("mid",),
            needs_convolution=True,
        ),
    )
}
