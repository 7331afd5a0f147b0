# attentune in a container. For CPUs:
#
#     docker build -t attentune .
#
# For NVIDIA GPUs, on an image that has torch for CUDA already, which the pins would replace:
#
#     docker build -t attentune --build-arg BASE=pytorch/pytorch:TAG \
#         --build-arg PINS= .
#
# docs/installing.md says how to run it.

ARG BASE=python:3.11-slim

FROM ${BASE} AS wheel
COPY . /src
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM ${BASE}
# The file of pins; none for a base that has torch.
ARG PINS=constraints.txt
# Such as "[postgres,s3]".
ARG EXTRAS=""
# Such as the index of torch's builds for CPUs, which are smaller.
ARG PIP_OPTIONS=""

# Triton compiles the launchers of its kernels with a C compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

COPY --from=wheel /wheels /wheels
COPY constraints.txt /wheels/
RUN python -m pip install --no-cache-dir ${PIP_OPTIONS} ${PINS:+-c /wheels/$PINS} \
        "$(echo /wheels/attentune-*.whl)${EXTRAS}" \
    && attentune --version

# Any user may write there (docker run --user); torch and timm keep what they download there, too.
# torch asks for the name of the user, and such a user has none but that of the variable.
RUN mkdir -p /cache /work && chmod 1777 /cache /work
ENV HOME=/cache USER=attentune ATTENTUNE_CACHE=/cache/attentune PYTHONUNBUFFERED=1
WORKDIR /work
ENTRYPOINT ["attentune"]
CMD ["--help"]
