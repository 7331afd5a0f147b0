"""Faster implementations of the operations in which attentions and small networks spend time.

Every kernel computes what torch's operators compute, up to rounding, and is used only where it was
measured to be faster. Elsewhere, the same functions run torch's operators.

`pool_scale` (`pool_scale_cpu`)
    Pooling a map and scaling it by a gate. Used by attentions on a CPU for maps of 2¹⁷ elements or
    more. Benchmark: benchmarks/attention.py.
`pool_scale_cuda` (`triton_pool_scale`, `triton_strips`)
    The same on CUDA, for dense maps of 2¹⁷ elements or more.
    Benchmark: benchmarks/gpu_check_parts.py.
`gated_residual` (`triton_pool_scale`)
    ReLU(x · gate + shortcut). Used in training on CUDA for a gate at the end of the residual branch
    of a timm ResNet. Benchmark: benchmarks/gpu_check_parts.py.
`pooled_convolutions`
    Convolutions of pooled rows, columns, planes and vectors. Used by attentions on a CPU.
    Benchmark: benchmarks/attention.py.
`small_convolutions`
    Depthwise and 1×1 convolutions over up to 64 locations. Used in training on a CPU in float32,
    through runners/training/fast_ops.py. Benchmark: benchmarks/convolutions.py.
`batch_norm` (`triton_batch_norm`)
    Batch norm of maps with channels last. Used in training on CUDA, through
    runners/training/fast_ops.py. Benchmark: benchmarks/gpu_check_parts.py.

The other files: `pooling` has the formulas of all poolings, `convolution_matrix` turns small
convolutions into matrix products, `limits` has all thresholds, `dispatch` decides whether kernels
may be used at all, `triton_module` lists the Triton kernels and checks them on a device, and
`torch_compat` has what torch's public API does not offer.

**When they are not used.** While a network is traced, compiled or exported, inside transforms of
`torch.func`, for forward-mode gradients, and for gradients of gradients. The Triton kernels are
also not used on a device on which they cannot be compiled or do not compute what torch computes;
the trial records the reason (`triton_module.fallback_reasons`).

**How to switch them off.** Inside `with dispatch.disable_kernels():` torch's operators compute
everything. `with limits.use_limits(min_map_elements=1, …):` changes single thresholds.

**How they are tested.** tests/spaces/kernels compares each with torch's operators: values,
gradients, gradients of gradients, memory format, all attentions, whole networks. On a machine
without CUDA the Triton kernels run in Triton's interpreter, if Triton is installed:
`TRITON_INTERPRET=1 pytest -m gpu tests/spaces/kernels`.

**When to delete one.** Each benchmark reports the ratio of torch's time to ours, and lists the
cases that are slower. Once a release of torch brings the ratios of a kernel to 1, delete the
kernel, its limits, its tests and its entry here; callers then use torch's function of that meaning.
"""
