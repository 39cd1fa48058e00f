# Serves a model over HTTP, with its page at /. The model is not in the image: it is mounted at /model.
#   python -m serving.export models/exported
#   docker build --tag product-classifier .
#   docker run --init --publish 8000:8000 --volume "$PWD/models/exported:/model:ro" product-classifier
# NVIDIA: docker build --build-arg REQUIREMENTS=requirements.txt, then mount models/best, and run with --gpus all.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG REQUIREMENTS=requirements_serving.txt
COPY ${REQUIREMENTS} /requirements.txt
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --requirement /requirements.txt
WORKDIR /app
COPY stages stages
COPY serving serving
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash stages serving

FROM python:${PYTHON}-slim
# The cache has converted networks, of a model that was not exported.
RUN useradd --uid 10001 --no-create-home server && install --directory --owner server /app/.cache
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PRODUCT_CLASSIFIER_MODEL=/model \
    PRODUCT_CLASSIFIER_HOST=0.0.0.0 \
    PRODUCT_CLASSIFIER_PORT=8000
VOLUME ["/app/.cache"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-m", "serving.server.health"]
CMD ["python", "-m", "serving.server"]
