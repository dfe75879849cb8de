#include "simd/cpu.h"
#include "simd/avx2/vec.h"

const struct vqr_isa vqr_isa_avx2 = {
    .name = "avx2",
    .needs = VQR_CPU_X86_AVX2,
    .wants = "AVX2 and FMA",
    .k =
        {
            .gemm_f32 = FN(gemm_f32),
            .pack_f32 = FN(pack_f32),
            .pack_transposed_f32 = FN(pack_transposed_f32),
            .quantize_f32 = FN(quantize_f32),
            .fix_f32 = FN(fix_f32),
            .accumulate_i32 = FN(accumulate_i32),
            .cluster_mean_f32 = FN(cluster_mean_f32),
            .hstu_attention_f32 = FN(hstu_attention_f32),
            .softmax_attention_f32 = FN(softmax_attention_f32),
            .layer_norm_f32 = FN(layer_norm_f32),
            .exp_f32 = FN(exp_f32),
            .log_f32 = FN(log_f32),
            .tanh_f32 = FN(tanh_f32),
            .silu_f32 = FN(silu_f32),
            .sigmoid_f32 = FN(sigmoid_f32),
            .relu_f32 = FN(relu_f32),
            .mul_f32 = FN(mul_f32),
            .add_f32 = FN(add_f32),
            .finite_f32 = FN(finite_f32),
            .embed_f32 = FN(embed_f32),
        },
};
